"""The supervisor: starts the parts, starts again those that die, and ends all of them within ten seconds.

One thread, which waits for signals: a part is bound to the thread that started it.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType

from orchestrator.cli.child import Child
from orchestrator.cli.data_folder import DataFolder
from orchestrator.cli.parts import Part
from orchestrator.cli.refusal import Refusal

EXIT_CONFIGURATION = 78  # sysexits.h: trying again would not help
TRIES_BEFORE_READY = 3
POLL_SECONDS = 0.05
REMINDER = 0.6  # of the seconds that a group has: then it is asked a second time
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Leave(Exception):  # noqa: N818  (a wish, not an error)
    """A signal asks the cluster to end."""


class Supervisor:
    """Used as a context manager: whatever happens inside, everything that was started has ended after it.

    `groups` are the names' beginnings in the order in which parts end, each with the seconds that they have.
    """

    def __init__(
        self,
        folder: DataFolder,
        held: int,
        say: Callable[[str], None],
        groups: Sequence[tuple[tuple[str, ...], float]],
    ) -> None:
        self._folder, self._held, self._say, self._groups = folder, held, say, groups
        self._children: dict[str, Child] = {}
        self._asked = 0
        self._patience = 0  # so many signals were seen when the ending began
        self._before: dict[signal.Signals, object] = {}
        self._bell, self._knocker = socket.socketpair()

    def __enter__(self) -> Supervisor:
        self._bell.setblocking(False)
        self._knocker.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._knocker.fileno(), warn_on_full_buffer=False)
        for number in (*_ENDING, signal.SIGCHLD):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        try:
            self.end()
        finally:
            signal.set_wakeup_fd(self._wakeup_before)
            for number, before in self._before.items():
                signal.signal(number, before)  # type: ignore[arg-type]
            self._bell.close()
            self._knocker.close()
        return kind is Leave

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._asked += 1

    def start(self, part: Part) -> Child:
        """Start a part and keep it running from now on."""
        child = self._children[part.name] = Child(part, self._folder, self._held)
        child.start()
        return child

    def replace(self, part: Part) -> None:
        """Start a part anew with other settings."""
        before = self._children.pop(part.name, None)
        if before is not None:
            self._end_group([before], 2.0)
        self.start(part)

    def run_once(self, part: Part, seconds: float) -> int:
        """Run a part to its end and return its exit status. Raises `Refusal` when it takes longer."""
        child = Child(part, self._folder, self._held)
        child.start()
        try:
            deadline = time.monotonic() + seconds
            while child.is_running():
                if time.monotonic() > deadline:
                    raise self._failure(child, f"did not end within {seconds:.0f} s")
                self._pass_time(POLL_SECONDS)
        finally:
            self._end_group([child], 1.0)
        return child.exit_status

    def wait_until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Look after the parts until `condition()`. Raises `Refusal` when it stays away, with the reason."""
        deadline = time.monotonic() + seconds
        while not condition():
            for child in self._children.values():
                if child.exit_status == EXIT_CONFIGURATION or child.deaths >= TRIES_BEFORE_READY:
                    raise self._failure(child, "cannot be started")
            if time.monotonic() > deadline:
                raise Refusal(f"{what} is not ready after {seconds:.0f} s; see {self._folder.logs}")
            self._pass_time(POLL_SECONDS)

    def watch(self, seconds: float | None = None) -> None:
        """Look after the parts, for some seconds or until a signal comes (`Leave`)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            self._pass_time(1.0 if deadline is None else min(1.0, max(0.0, deadline - time.monotonic())))

    def _pass_time(self, seconds: float) -> None:
        """Sleep until something happens, at most so long, and see to it."""
        due = [at for child in self._children.values() if (at := child.wake_at()) is not None]
        self._sleep(min([seconds, *(max(0.0, at - time.monotonic()) for at in due)]))
        if self._asked:
            raise Leave
        for child in self._children.values():
            child.look_after(self._say)

    def _sleep(self, seconds: float) -> None:
        if select.select([self._bell], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(4096)

    def end(self) -> None:
        """End all parts in the order of the groups. A second signal ends them at once."""
        self._patience = self._asked
        for beginnings, seconds in self._groups:
            group = [child for name, child in self._children.items() if name.startswith(beginnings)]
            self._end_group(group, seconds)
        self._end_group(list(self._children.values()), 0.0)
        self._children.clear()

    def _end_group(self, group: list[Child], seconds: float) -> None:
        began = time.monotonic()
        for child in group:
            child.terminate()
        reminded = False
        while any(child.is_running() for child in group):
            passed = time.monotonic() - began
            if passed >= seconds or self._asked > max(self._patience, 1):
                break
            if not reminded and passed >= seconds * REMINDER:
                reminded = True
                for child in group:  # a robot gives its script up only when it is asked again
                    child.terminate()
            self._sleep(POLL_SECONDS)
        for child in group:
            child.bury()

    def _failure(self, child: Child, what: str) -> Refusal:
        said = self._folder.last_lines(child.name)
        return Refusal("\n".join([f"{child.name} {what}. Its log ({self._folder.logs}) ends with:", *said]))
