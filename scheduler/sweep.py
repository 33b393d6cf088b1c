"""The node's pulse: it renews the membership and looks at every line about once a second.

What a lost hint costs is bounded by this look. It runs on a thread of its own, for which the node's pool
has a connection: the worker's timer was measured to stand still for 7 seconds in a broker's outage.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import structlog

from orchestrator import errors
from orchestrator.cluster.lifecycle import NodeAlive
from orchestrator.tasks import recovery
from orchestrator.tasks.heads import Head, HeadsQuery
from orchestrator.transaction import Transaction
from orchestrator.wiring import Parts
from scheduler.handing_over import HandingOver
from scheduler.lineup import Lineup
from scheduler.membership import Membership

log = structlog.get_logger(__name__)


class Sweep(threading.Thread):
    def __init__(
        self,
        parts: Parts,
        membership: Membership,
        lineup: Lineup,
        handing_over: HandingOver,
        stop: threading.Event,
    ) -> None:
        super().__init__(name="sweep", daemon=True)
        self._interval = parts.config.scheduler_interval
        self._membership = membership
        self._lineup = lineup
        self._handing_over = handing_over
        self._stop_asked = stop
        self._query = HeadsQuery([])
        self._query_of: frozenset[int] = frozenset()
        self._recover_at = 0.0

    def run(self) -> None:
        pause = 0.0  # no hint tells what waits in partitions that were taken over
        while not self._stop_asked.wait(pause):
            pause = self._interval
            try:
                self.look()
            except errors.Unavailable:
                log.warning("database_away", node=self._membership.me.name)
            except NodeAlive as taken:
                log.error("place_taken", detail=taken.detail)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            except Exception:
                log.exception("sweep_failed", node=self._membership.me.name)
            if self._membership.is_draining and not self._stop_asked.is_set():
                os.kill(os.getpid(), signal.SIGTERM)  # asked for by a person: end as for SIGTERM
                return

    def look(self) -> None:
        self._membership.tick()
        owned = frozenset(self._membership.owned())
        if not owned:
            return
        if owned != self._query_of:
            self._query, self._query_of = HeadsQuery(sorted(owned)), owned
        self._recover(sorted(owned))
        self._lineup.set_heads(self._membership.run(self._heads, read_only=True))
        self._handing_over.sweep()

    def _heads(self, tx: Transaction) -> list[Head]:
        return self._query.read(tx)

    def _recover(self, owned: list[int]) -> None:
        """Postponed tasks that are due come into line each second; lapsed claims every five."""
        self._membership.run(lambda tx: recovery.promote_due(tx, owned))
        if time.monotonic() >= self._recover_at:
            self._recover_at = time.monotonic() + 5
            self._membership.run(lambda tx: recovery.lapse(tx, owned))
