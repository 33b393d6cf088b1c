"""Hands the report of a finished run to the server, until it is answered for good."""

from __future__ import annotations

import threading
import time
from typing import Optional

from .backoff import Backoff
from .outbox import Outbox, Report
from .protocol import Refused, Server
from .transport import Unreachable
from .voice import Voice

GRACE_KEPT, GRACE_UNKEPT = 5.0, 30.0  # seconds that an agent asked to leave goes on trying
_MOST_REFUSALS = 3


class Delivery:
    """Reports to `server`, by way of `outbox`. `leaving` is set once the agent is asked to leave."""

    def __init__(self, server: Server, outbox: Outbox, voice: Voice, leaving: threading.Event) -> None:
        self._server, self._outbox, self._voice, self._leaving = server, outbox, voice, leaving

    def hand_over(self, report: Report) -> bool:
        """Keep the report, then deliver it; False when the agent must leave first: it stays kept."""
        return self._deliver(report, self._keep(report))

    def empty_outbox(self) -> bool:
        """Deliver what earlier lives left; False when the agent must leave first."""
        return all(self._deliver(report, True) for report in self._outbox.waiting())

    def _keep(self, report: Report) -> bool:
        try:
            self._outbox.keep(report)
        except OSError as full:
            self._voice.say(f"the result of job {report.guid} cannot be kept on disk, only reported: {full}")
            return False
        return True

    def _deliver(self, report: Report, kept: bool) -> bool:
        backoff, refusals, told, until = Backoff(), 0, "", None
        while True:
            try:
                self._send(report)
            except (Unreachable, Refused) as trouble:
                if isinstance(trouble, Refused) and trouble.http_status not in (401, 403):
                    refusals += 1
                    other = self._other(report, trouble) if refusals <= _MOST_REFUSALS else None
                    if other is None:
                        self._voice.say(f"job {report.guid}: the server refused its report: {trouble}")
                        break
                    report, kept = other, self._keep(other)
                    continue
                if str(trouble) != told:
                    self._voice.say(f"job {report.guid}: its report waits for the server: {trouble}")
                told = str(trouble)
                until = until or self._deadline(kept)
                if until is not None and time.monotonic() >= until:
                    return False
                self._pause(backoff.next(getattr(trouble, "retry_after", None)))
            else:
                break
        self._outbox.remove(report)
        return True

    def _send(self, report: Report) -> None:
        self._server.update(
            report.guid, report.status, report.result, report.error, report.progress, report.fence
        )

    def _other(self, report: Report, refused: Refused) -> Optional[Report]:
        if refused.http_status == 409:
            return report.instead(refused.job_status)
        return report.reduced(str(refused)) if refused.http_status in (400, 413) else None

    def _deadline(self, kept: bool) -> Optional[float]:
        if not self._leaving.is_set():
            return None
        return time.monotonic() + (GRACE_KEPT if kept else GRACE_UNKEPT)

    def _pause(self, seconds: float) -> None:
        if self._leaving.is_set():
            time.sleep(min(seconds, 0.5))
        else:
            self._leaving.wait(seconds)
