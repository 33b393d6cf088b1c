"""One server for all worker processes of a pytest run: the first that needs it starts it.

The server lives as long as the worker that started it, and xdist ends no worker before all have finished.
What is left is ended by the process that made the run's folder.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.servers.processes import family, is_alive, works_in
from tests.servers.server import Server

_started: list[Server] = []  # kept: Popen complains about a running process that nobody refers to


def shared_url(make: Callable[[Path], Server], run_folder: Path, name: str) -> str:
    """The URL of the run's server `name`; `make(run_folder)` makes it unless another worker has."""
    record = run_folder / f"{name}.json"
    with _locked(run_folder / f"{name}.lock"):
        if record.exists():
            server = json.loads(record.read_text())
            if is_alive(server["pid"]):
                return str(server["url"])
        started = make(run_folder).start()
        _started.append(started)
        record.write_text(json.dumps({"url": started.url, "pid": started.pid}))
        return started.url


def end_run(run_folder: Path) -> None:
    """End the run's servers and remove its folder."""
    for record in run_folder.glob("*.json"):
        pid = json.loads(record.read_text())["pid"]
        if works_in(pid, run_folder):  # else it has ended, and its number can be another process's by now
            for process in family(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
    shutil.rmtree(run_folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
