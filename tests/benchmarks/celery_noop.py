"""The base of jobs and of latency: plain Celery on the same Redis, with no-op tasks.

celery -A tests.benchmarks.celery_noop worker --pool prefork --concurrency 2
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Self, cast

from celery import Celery
from redis import Redis

from tests.benchmarks.cluster import BIN, Child, wait_until

URL = os.environ.get("BENCHMARK_CELERY_URL", "redis://127.0.0.1:6379/1")
MARKS = "benchmark:marks"
QUEUE = "benchmark"

app = Celery("benchmark", broker=URL, set_as_current=False)
app.conf.update(task_ignore_result=True, task_default_queue=QUEUE, worker_hijack_root_logger=False)
_redis = Redis.from_url(URL)


@app.task(name="benchmark.noop")
def noop() -> None:
    pass


@app.task(name="benchmark.mark")
def mark() -> None:
    """Tell when this ran, on the clock that all processes of the machine share."""
    _redis.lpush(MARKS, time.monotonic_ns())


class CeleryWorker:
    """Two processes of Celery, as its documentation starts them."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self._url = redis_url
        self._folder = folder
        self._sender = Celery("benchmark", broker=redis_url, set_as_current=False)
        self._sender.conf.update(task_ignore_result=True, task_default_queue=QUEUE)
        self._redis = Redis.from_url(redis_url, socket_timeout=None)  # it waits for marks

    def __enter__(self) -> Self:
        command = [str(BIN / "celery"), "-A", "tests.benchmarks.celery_noop", "worker", "--pool", "prefork"]
        command += [
            "--concurrency",
            "2",
            "--hostname",
            "benchmark@%h",
            "--without-gossip",
            "--without-mingle",
        ]
        self._child = Child("celery", command, {"BENCHMARK_CELERY_URL": self._url}, self._folder)
        self._send("benchmark.mark")
        try:
            wait_until(self._child, lambda: self._redis.llen(MARKS) == 1)
        except BaseException:
            self._child.end()
            raise
        self._redis.delete(MARKS)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end()
        self._redis.close()
        self._sender.close()

    def _send(self, name: str) -> None:
        self._sender.send_task(name, queue=QUEUE, ignore_result=True)

    def _mark(self) -> int:
        """When the oldest mark that is not yet read was made; waits for it."""
        found = cast("tuple[bytes, bytes] | None", self._redis.brpop([MARKS], timeout=60))
        if found is None:
            raise RuntimeError(f"Celery did not run a task within a minute:\n{self._child.log()}")
        return int(found[1])

    def drained_per_second(self, count: int) -> float:
        """How many no-op tasks, all of them waiting, are run in a second."""
        self._hold()
        self._send("benchmark.mark")
        for _ in range(count):
            self._send("benchmark.noop")
        self._send("benchmark.mark")
        self._let_go()
        began, ended = self._mark(), self._mark()
        return count / ((ended - began) / 1e9)

    def _hold(self) -> None:
        self._control("cancel_consumer")

    def _let_go(self) -> None:
        self._control("add_consumer")

    def _control(self, what: str) -> None:
        answers: Any = getattr(self._sender.control, what)(QUEUE, reply=True, timeout=5, limit=1)
        if not answers:
            raise RuntimeError(f"Celery did not answer {what}")

    def milliseconds_to_run(self) -> float:
        """From before a task is sent until it runs."""
        began = time.monotonic_ns()
        self._send("benchmark.mark")
        return (self._mark() - began) / 1e6
