"""A working robot's heartbeats, on a thread of their own: they renew the run's lease and bring orders."""

from __future__ import annotations

import os
import random
import threading
import time
from types import TracebackType
from typing import Callable, Optional, Type

from .protocol import (
    ABORTING,
    IN_PROGRESS,
    ORDER_ABORT,
    ORDER_STOP,
    ROBOT_NOT_FOUND,
    STOPPING,
    WORKING,
    Refused,
    Server,
)
from .run import Run
from .transport import Unreachable
from .voice import Voice

JITTER = 0.2
_TICK = 1.0  # seconds between looks at the script's progress


def interval() -> float:
    """Seconds between heartbeats: 10, as the document advises, or BOTSWAIN_HEARTBEAT_SECONDS."""
    try:
        return max(0.05, float(os.environ.get("BOTSWAIN_HEARTBEAT_SECONDS", "10")))
    except ValueError:
        return 10.0


class Heartbeat:
    """Beats from entering to leaving the `with` block, which ends only once no beat is on its way any more.

    That matters: a late "working" must not arrive after the robot's next "ready".
    """

    def __init__(self, server: Server, run: Run, voice: Voice, every: float) -> None:
        self._server, self._run, self._voice, self._every = server, run, voice, every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="heartbeat", daemon=True)
        self._told: Optional[int] = None  # percent
        self._trouble = ""

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._over.set()
        self._thread.join()

    def _loop(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            if time.monotonic() >= due:
                pause = self._guarded(self._beat)
                due = time.monotonic() + max(pause, self._every * _spread())
            else:
                self._guarded(self._tell_progress)
            self._over.wait(min(_TICK, self._every / 2))

    def _guarded(self, step: Callable[[], None]) -> float:
        """Do one step; whatever goes wrong, the thread lives on. Seconds that the server asks for."""
        try:
            step()
        except Unreachable as away:
            self._complain(f"heartbeat: {away}")
            return away.retry_after or 0.0
        except Exception as trouble:
            self._complain(f"heartbeat: {trouble}")
            return 0.0
        self._complain("")
        return 0.0

    def _complain(self, text: str) -> None:
        if text and text != self._trouble:  # once, not every ten seconds
            self._voice.say(text)
        self._trouble = text

    def _beat(self) -> None:
        beat = self._server.heartbeat(WORKING, self._run.offer.guid, self._run.offer.name)
        if beat.code == ORDER_ABORT:
            self._run.kill()
        elif beat.code == ORDER_STOP:
            self._run.ask_to_stop()
        elif beat.code == ROBOT_NOT_FOUND:
            # No order: a server restored from an old copy says so too. The last update decides.
            raise Refused(404, beat.text or "the server does not know this robot")

    def _tell_progress(self) -> None:
        if self._run.stop_asked or self._run.over:  # then the job need not be in state 8 any more
            return
        percent = self._run.progress()
        if percent is None or percent == self._told:
            return
        offer = self._run.offer
        try:
            self._server.update(offer.guid, IN_PROGRESS, progress=percent, fence=offer.fence)
        except Refused as refused:
            self._obey(refused)
        self._told = percent

    def _obey(self, refused: Refused) -> None:
        """A refused progress tells what the next heartbeat would: the job is no longer simply in progress."""
        if refused.http_status not in (404, 409):
            raise refused
        if refused.job_status == STOPPING:
            self._run.ask_to_stop()
        elif refused.job_status == ABORTING:
            self._run.kill()
        else:
            self._voice.say(f"job {self._run.offer.guid} is no longer this robot's: {refused}")
            self._run.lose()


def _spread() -> float:
    return random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - not a secret
