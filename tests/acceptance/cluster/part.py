"""One process of a cluster, started as an operator would: a command, an environment, a log file."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.servers.processes import die_with_parent, family, is_alive
from tests.servers.server import wait_for

END_SECONDS = 40.0
TAIL_LINES, LINE_LENGTH = 20, 700


class Part:
    """`name` is for people; the log is `folder/name.log` and goes on over restarts."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.command = command
        self.environment = dict(environment)
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Part":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGKILL),
                start_new_session=True,  # Ctrl-C is for the tests
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def exit_status(self, seconds: float = END_SECONDS) -> int:
        """The status with which it ended; AssertionError when it is still there after `seconds`."""
        assert self._process is not None, f"{self.name} was never started"
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {seconds:.0f} s\n{self.tail()}") from None

    def terminate(self) -> None:
        """SIGTERM, as a supervisor or a container's engine asks it to end."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to it and all that it started, and back when they are gone."""
        if not self.runs:
            return
        members = family(self.pid)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        wait_for(lambda: not any(is_alive(pid) for pid in members), 10)

    def stop(self, seconds: float = END_SECONDS) -> None:
        """In order, and by force when that takes too long."""
        if not self.runs:
            return
        self.terminate()
        end = time.monotonic() + seconds
        if not wait_for(lambda: not self.runs, max(0.1, end - time.monotonic())):
            self.kill()

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self) -> str:
        return "\n".join(shortened(line) for line in self.output().splitlines()[-TAIL_LINES:])


def shortened(line: str) -> str:
    """Both ends of a line: a traceback in JSON says at its end what happened."""
    half = LINE_LENGTH // 2
    return line if len(line) <= LINE_LENGTH else f"{line[:half]} … {line[-half:]}"
