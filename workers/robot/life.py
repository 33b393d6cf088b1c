"""The loop of a robot: ready, a job, its run, its report, and ready again.

A "ready" heartbeat while a job is in progress tells the server that the run is lost. So none is sent before
the last report of every earlier run was answered.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Optional

from . import tree
from .backoff import Backoff
from .broker import Broker
from .delivery import Delivery
from .heartbeat import Heartbeat
from .outbox import Outbox, Report
from .package import Cancelled, PackageCache
from .protocol import (
    ABORTED,
    ABORTING,
    DISCONNECTED,
    FAILED,
    IN_PROGRESS,
    READY,
    ROBOT_NOT_FOUND,
    STOPPED,
    STOPPING,
    Offer,
    Refused,
    Server,
)
from .run import Run
from .transport import Unreachable
from .unpack import PackageError
from .voice import Voice
from .workdir import WorkDir

WAIT, SHORTEST_WAIT = 50, 5  # seconds that a ready heartbeat is held
_AT_ONCE = 1.0  # an answer quicker than this was not held
_NAMES = {3: "Aborted", 4: "Success", 5: "Failed", 7: "Stopped"}


class Life:
    """One robot, from its start to its log-off. `stop` may be called from another thread."""

    def __init__(
        self, server: Server, work: WorkDir, outbox: Outbox, voice: Voice, once: bool, every: float
    ) -> None:
        self._server, self._work, self._voice, self._once, self._every = server, work, voice, once, every
        self._packages = PackageCache(work.packages, server)
        self._leaving = threading.Event()
        self._delivery = Delivery(server, outbox, voice, self._leaving)
        self._lock = threading.Lock()
        self._run: Optional[Run] = None
        self._wait = 0 if once else WAIT
        self._setback = Backoff()
        self._trouble = ""

    def live(self) -> int:
        """Work until there is no job (`once`) or until asked to leave: 0, or 1 if the server refuses."""
        leftovers = tree.sweep(self._work.runs, below=True)
        if leftovers:
            self._voice.say(f"ended {leftovers} processes that an earlier life of this agent had left")
        if not self._delivery.empty_outbox():
            return 0
        try:
            while self._cycle():
                self._tidy()
        except Refused as refused:
            self._voice.say(f"the server does not accept this robot: {refused}")
            return 1
        return 0

    def stop(self) -> None:
        """Leave: the first time softly, so that a script may end cleanly; the second aborts its run."""
        with self._lock:
            again, run = self._leaving.is_set(), self._run
            self._leaving.set()
        self._server.transport.interrupt()
        if run is not None:
            run.kill() if again else run.ask_to_stop()

    def _cycle(self) -> bool:
        """One job, or the log-off: False then."""
        offer = self._next_job()
        run = self._take(offer)
        if run is None:
            self._log_off()
            return False
        try:
            return self._work_off(run)
        finally:
            with self._lock:
                self._run = None

    def _take(self, offer: Optional[Offer]) -> Optional[Run]:
        """From here on `stop` reaches the run."""
        with self._lock:
            if offer is None or self._leaving.is_set():
                return None
            self._run = Run(offer)
            return self._run

    def _next_job(self) -> Optional[Offer]:
        """Wait for a job; None when there is none for this life. Raises Refused with `once`."""
        away = Backoff()
        while not self._leaving.is_set():
            began = time.monotonic()
            try:
                beat = self._server.heartbeat(READY, wait=self._wait)
                if beat.code == ROBOT_NOT_FOUND:
                    raise Refused(404, beat.text or "it does not know its GUID")
                self._say_once("")
                away.reset()
                if beat.has_new_job:
                    offer = self._server.consume()
                    if offer is not None:
                        return offer
                    self._leaving.wait(self._setback.next())  # told of a job, and given none
                elif self._once:
                    return None
                elif time.monotonic() - began < _AT_ONCE:
                    self._leaving.wait(self._every)
            except Unreachable as trouble:
                if self._leaving.is_set():
                    break
                self._say_once(f"the server is away: {trouble}")
                self._shorten_wait(time.monotonic() - began)
                self._leaving.wait(away.next(trouble.retry_after))
            except Refused as refused:
                if self._once:
                    raise
                self._say_once(f"the server does not accept this robot: {refused}")
                self._leaving.wait(away.next())
        return None

    def _shorten_wait(self, held: float) -> None:
        """A proxy on the way may cut a long wait each time; then a job would never arrive."""
        if self._wait and held > _AT_ONCE:
            self._wait = max(SHORTEST_WAIT, self._wait // 2)

    def _work_off(self, run: Run) -> bool:
        """Run the job and report it; False when its report has to wait for the next life."""
        begun = self._begin(run)
        if begun is not None:
            return begun
        self._setback.reset()
        self._voice.say(f"job {run.offer.guid} ({run.offer.name}) has begun")
        with Heartbeat(self._server, run, self._voice, self._every):
            report = self._execute(run)
            if run.lost:
                return True
            self._voice.say(f"job {report.guid} has ended: {_NAMES[report.status]}")
            return self._delivery.hand_over(report)

    def _begin(self, run: Run) -> Optional[bool]:
        """Say In_Progress. None when it was accepted; else the run is off, and whether life goes on."""
        backoff, guid, tried = Backoff(), run.offer.guid, False
        while not self._leaving.is_set():
            tried = True
            try:
                self._server.update(guid, IN_PROGRESS, fence=run.offer.fence)
                return None
            except Unreachable as away:
                self._say_once(f"the server is away: {away}")
                self._leaving.wait(backoff.next(away.retry_after))
            except Refused as refused:
                return self._give_up(run.offer, refused)
        # An answer may have been lost: for the server the run may have begun.
        late = Report(guid, STOPPED, error="the agent was asked to leave", fence=run.offer.fence)
        return not tried or self._delivery.hand_over(late)

    def _give_up(self, offer: Offer, refused: Refused) -> bool:
        """The job may not begin. One that is being stopped began, by an update whose answer was lost."""
        self._voice.say(f"job {offer.guid} may not begin: {refused}")
        asked = {STOPPING: STOPPED, ABORTING: ABORTED}.get(refused.job_status or 0)
        if refused.http_status == 409 and asked is not None:
            return self._delivery.hand_over(Report(offer.guid, asked, fence=offer.fence))
        self._leaving.wait(self._setback.next())
        return True

    def _execute(self, run: Run) -> Report:
        """Everything that can go wrong on this machine ends as a report, never as a silent agent."""
        try:
            entry = self._packages.entry_of(run.offer.version, run.interrupted.wait)
            folder = self._work.new_run(run.offer.guid)
            with Broker(self._server.transport, run.offer.guid, folder):
                return run.execute(folder, entry, self._work.library)
        except Cancelled:
            return run.unstarted()
        except PackageError as unusable:
            error = str(unusable)
        except OSError as trouble:
            error = f"this machine could not run the script: {trouble}"
        except Exception as mistake:
            error = f"the agent could not run the script: {type(mistake).__name__}: {mistake}"
        return Report(run.offer.guid, FAILED, error=error, fence=run.offer.fence)

    def _tidy(self) -> None:
        self._wait = 0 if self._once else WAIT
        with contextlib.suppress(OSError):
            self._work.prune_runs()
            self._packages.prune()

    def _log_off(self) -> None:
        """Tell the server at once, rather than let it find out. Nothing depends on it."""
        with contextlib.suppress(Unreachable, Refused):
            self._server.heartbeat(DISCONNECTED, timeout=3.0)

    def _say_once(self, text: str) -> None:
        if text and text != self._trouble:
            self._voice.say(text)
        self._trouble = text
