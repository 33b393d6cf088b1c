"""What the server is told of sessions: in order, and until it has answered."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import structlog

from workers.backoff import Backoff
from workers.server import Away, Refused

log = structlog.get_logger(__name__)

Tell = Callable[[], None]
Answered = Callable[[Refused | None], None]


class Reports(threading.Thread):
    """A thread of its own, so that a server that is away keeps no agent from being ended."""

    def __init__(self) -> None:
        super().__init__(name="session-reports", daemon=True)
        self._waiting: queue.SimpleQueue[tuple[Tell, Answered] | None] = queue.SimpleQueue()
        self._leaving = threading.Event()

    def say(self, tell: Tell, answered: Answered) -> None:
        """Call `tell` until it neither raises `Away`; then `answered`, with the refusal if it was one."""
        self._waiting.put((tell, answered))

    def end(self, seconds: float) -> None:
        """Say what is waiting, as far as the server is there and the time lasts."""
        self._leaving.set()
        self._waiting.put(None)
        self.join(seconds)

    def run(self) -> None:
        while (item := self._waiting.get()) is not None:
            self._deliver(*item)

    def _deliver(self, tell: Tell, answered: Answered) -> None:
        backoff = Backoff()
        while True:
            try:
                tell()
            except Refused as refused:
                log.info("session_report_refused", reason=str(refused)[:200])
                answered(refused)
                return
            except Away as away:
                log.warning("session_report_waits", error=str(away)[:200])
                if self._leaving.wait(backoff.next(away.retry_after)):
                    return
            else:
                answered(None)
                return
