"""One process of the embedded cluster: started, started again when it dies, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

from orchestrator.cli import lifeline
from orchestrator.cli.data_folder import DataFolder
from orchestrator.cli.parts import Part

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds before a part that died is started again
PROVEN_SECONDS = 30.0  # who lived so long begins again with the first pause


class Child:
    """`held` is the file descriptor that keeps the folder taken until this process has ended, too."""

    def __init__(self, part: Part, folder: DataFolder, held: int) -> None:
        self.part = part
        self.deaths = 0
        self.exit_status = 0  # of its last life; negative: the signal that ended it
        self._folder, self._held = folder, held
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = FIRST_PAUSE
        self._started = 0.0
        self._due = 0.0

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C is for the supervisor, which ends the parts in order."""
        log = self._folder.open_log(self.name)
        try:
            self._process = subprocess.Popen(
                lifeline.tied(self.part.argv, self.part.death_signal),
                cwd=self._folder.path,  # elsewhere a celeryconfig.py could lie, which Celery would take
                env=dict(self.part.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._held,),
                preexec_fn=lifeline.bind_to(os.getpid(), self.part.death_signal),
            )
        finally:
            os.close(log)
        self._started = time.monotonic()

    def look_after(self, say: Callable[[str], None]) -> None:
        """Notice its death, and start it again when the pause is over."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._mourn(status)
            say(f"{self.name} {describe(status)}; it is started again in {self._due_in():.1f} s")
        if self._process is None and self._due_in() <= 0:
            self.start()

    def _mourn(self, status: int) -> None:
        self._kill()  # whatever it left running in its session
        self._process = None
        self.exit_status = status
        self.deaths += 1
        if time.monotonic() - self._started > PROVEN_SECONDS:
            self._pause = FIRST_PAUSE
        self._due = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _due_in(self) -> float:
        return self._due - time.monotonic()

    def wake_at(self) -> float | None:
        """When, on the monotonic clock, it has to be started; None while it runs."""
        return None if self._process is not None else self._due

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        if self.is_running() and self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def bury(self) -> None:
        """End it now, with all that it left running; it is not started again."""
        self._kill()
        if self._process is not None:
            self.exit_status = self._process.wait()
            self._process = None

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def describe(status: int) -> str:
    """How a process ended, for a person."""
    if status >= 0:
        return f"has ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
