"""Schedulers by the hundred: a process that has imported all that one needs, and forks it in no time.

Starting Python and reading the modules takes a second of processor; a thousand kills would wait a quarter of
an hour for that alone. From the fork on it is what `botswain scheduler` is, with the same environment.

    python -m tests.drill.nursery     # reads an order a line, answers with the process's number
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.processes import die_with_parent

PROJECT = Path(__file__).parents[2]


class Nursery:
    """Starts schedulers; all end with it. `environment` is what they have in common, REDIS_URL among it."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        paths = [str(PROJECT), environment.get("PYTHONPATH", "")]
        with (folder / "nursery.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.drill.nursery"],
                env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        self._lock = threading.Lock()

    def fork(self, cluster_id: int, environment: Mapping[str, str], log: Path) -> int:
        """The process number of a new scheduler."""
        order = {"id": cluster_id, "environment": dict(environment), "log": str(log)}
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def serve() -> None:
    """Fork a scheduler for each order, until the orders end."""
    from orchestrator.cli import celery_process, parts
    from tests.drill import mutants

    import_what_a_scheduler_needs()
    mutants.prepare(dict(os.environ))
    gc.collect()
    gc.freeze()
    # Reaped at once: a place whose holder is a zombie would be taken for held.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    bind = die_with_parent(signal.SIGKILL)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _settle(order, bind)
            celery_process.main("scheduler.node", parts.scheduler_argv(order["id"])[5:])
        print(pid, flush=True)


def import_what_a_scheduler_needs() -> None:
    import celery.apps.worker
    import celery.worker.components
    import kombu.transport.redis
    import pymysql  # type: ignore[import-untyped]

    import scheduler.node
    import workers.consumer

    assert celery and kombu and pymysql and scheduler and workers


def _settle(order: Mapping[str, Any], bind: Any) -> None:
    os.setsid()
    bind()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    random.seed()
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    log = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)


if __name__ == "__main__":
    serve()
