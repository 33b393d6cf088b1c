"""What the three servers have in common: one process in one temporary folder, and ways to hurt it."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

from tests.servers.ports import free_port
from tests.servers.processes import die_with_parent, family, is_alive

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class MissingServerError(Exception):
    """The server's program is not installed."""


class ServerFailedError(Exception):
    """The server did not start, or did not stop; the message ends with its log."""


class Server(ABC):
    """One server process with its data in a folder of its own; the data outlive `restart()` and `kill()`.

    Used as a context manager, or by `start()` and `close()`. The port and so the URL stay the same for the
    object's life. `parent` is the folder in which the server's own folder is made (default: the system's
    temporary one).
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    account: str | None = None  # the user to run as, where the server refuses to be root

    def __init__(self, parent: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=parent))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, with user and password."""

    @abstractmethod
    def prepare(self) -> None:
        """Fill the empty folder; called once, before the first start."""

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; it stays in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether a client is served now; errors of connection count as no."""

    @property
    def pid(self) -> int:
        """The server's process; ServerFailedError when it does not run."""
        if self._process is None:
            raise ServerFailedError(f"{self.name} is not running")
        return self._process.pid

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> Self:
        """Start and wait until it answers."""
        if self._process is not None:
            raise ServerFailedError(f"{self.name} is already running")
        if not self.data.exists():
            self.prepare()
        self._process = self.spawn(self.command())
        self._wait_until_it_answers(self._process)
        return self

    def stop(self) -> None:
        """Ask it to end, as an operator would, and wait; a server that does not run is left alone."""
        if self._process is None:
            return
        self.resume()  # a stopped process does not see the signal
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailedError(f"{self.name} did not end in {STOP_SECONDS:.0f} s{self._log()}") from None
        self._process = None

    def kill(self) -> None:
        """SIGKILL to the whole server, as a power cut would; returns when it is gone."""
        if self._process is None:
            return
        processes = self._signal_all(signal.SIGKILL)
        self._process.wait()
        self._process = None
        wait_for(lambda: not any(is_alive(pid) for pid in processes), 10)

    def restart(self) -> None:
        """Stop in order and start again, with the same data at the same address."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers, as on a machine that hangs."""
        self._signal_all(signal.SIGSTOP)
        # The signal reaches one thread after the other: until the last has stopped, a query is answered.
        until = time.monotonic() + 5
        while self._is_running() and time.monotonic() < until:
            time.sleep(0.01)

    def _is_running(self) -> bool:
        """Whether any thread of the server's process has not stopped yet."""
        states = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return any(state.read_text().rpartition(")")[2].split()[0] not in "Tt" for state in states)

    def resume(self) -> None:
        """SIGCONT after `pause()`."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """End it at once and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    def spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        """Start a program of this server under its account, with its output in the log."""
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                user=self.account,
                group=self.account,
                extra_groups=[] if self.account else None,
                # After the change of user, which would clear it again.
                preexec_fn=die_with_parent(self.death_signal),
                start_new_session=True,  # Ctrl-C is for the tests; they end the server when they are ready
            )

    def run(self, command: list[str]) -> None:
        """Run a program of this server to its end; ServerFailedError with the log when it fails."""
        if self.spawn(command).wait() != 0:
            raise ServerFailedError(f"{Path(command[0]).name} failed{self._log()}")

    def _wait_until_it_answers(self, process: "subprocess.Popen[bytes]") -> None:
        ready = wait_for(lambda: process.poll() is not None or self.answers(), START_SECONDS)
        if ready and process.poll() is None:
            return
        self.kill()
        raise ServerFailedError(f"{self.name} did not start on port {self.port}{self._log()}")

    def _signal_all(self, number: signal.Signals) -> list[int]:
        processes = family(self.pid)
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return processes

    def _log(self) -> str:
        path = self.folder / "server.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return ":\n" + "\n".join(lines[-60:])  # mariadb-install-db ends with forty that say nothing


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within `seconds`; for what sends no event, like a server in its start."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
