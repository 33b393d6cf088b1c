"""The loop of a scheduler's thread: take the oldest line, claim a batch, do it, and again."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import structlog

from orchestrator import errors
from orchestrator.tasks.claim import Outrun, Ownership, claim
from orchestrator.tasks.claimed import release
from orchestrator.tasks.model import Lane
from orchestrator.wiring import Parts
from scheduler.handing_over import HandingOver
from scheduler.lineup import Line, Lineup
from scheduler.membership import Membership
from scheduler.perform import CLAIM_LEASE, hand_out

log = structlog.get_logger(__name__)

PAUSE_AFTER_ERROR_SECONDS = 1.0

# Of the task that now stands at the head of a line, if any does: when it arrived, and whose it is.
Next = tuple[datetime | None, int | None]
NOBODY: Next = (None, None)


class ClaimLoop(threading.Thread):
    """One of `SCHEDULER_THREADS`. Ends after its batch when `stop` is set; what is left is given back."""

    def __init__(
        self,
        number: int,
        parts: Parts,
        membership: Membership,
        lineup: Lineup,
        handing_over: HandingOver,
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"claim-{number}", daemon=True)
        self._parts = parts
        self._membership = membership
        self._lineup = lineup
        self._handing_over = handing_over
        self._stop_asked = stop

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.serve_one(self._parts.config.scheduler_interval)
            except errors.Unavailable:
                self._stop_asked.wait(PAUSE_AFTER_ERROR_SECONDS)
            except Exception:
                log.exception("claim_loop_failed", node=self._membership.me.name)
                self._stop_asked.wait(PAUSE_AFTER_ERROR_SECONDS)

    def serve_one(self, seconds: float) -> None:
        owned = self._membership.owned()
        if self._membership.is_draining or not owned:
            self._stop_asked.wait(min(seconds, 0.2))
            return
        line = self._lineup.take(owned, seconds)
        if line is None:
            return
        following: Next = NOBODY
        try:
            following = self._serve(owned[line[0]], line)
        finally:
            self._lineup.put_back(line, *following)

    def _serve(self, ownership: Ownership, line: Line) -> Next:
        serve = self._hand_out if line[1] == Lane.SCHEDULER else self._hand_over
        try:
            return serve(ownership)
        except Outrun:
            return datetime.min.replace(tzinfo=UTC), None  # at once again
        except errors.StaleFence as stale:
            log.info("partition_lost", node=self._membership.me.name, detail=stale.detail)
            self._membership.lost(ownership.partition)
            return NOBODY

    def _hand_out(self, ownership: Ownership) -> Next:
        began = time.monotonic()
        done = hand_out(self._membership, ownership, self._parts.config.scheduler_batch)
        log.debug("batch", tasks=done.count, seconds=time.monotonic() - began)
        return done.next_created_at, done.next_tenant_id

    def _hand_over(self, ownership: Ownership) -> Next:
        limit = self._room()
        if limit <= 0:
            return NOBODY
        batch = self._membership.run(lambda tx: claim(tx, ownership, Lane.WORKER, limit, CLAIM_LEASE))
        try:
            self._handing_over.hand_over(batch.tasks)
        except errors.Unavailable:
            raise  # the claim's lease, or the next owner of the partition, puts the batch back
        except Exception:
            self._membership.run(lambda tx: release(tx, batch.tasks, Lane.WORKER))
            raise
        return batch.next_created_at, batch.next_tenant_id

    def _room(self) -> int:
        """How many tasks the worker nodes may be given now, after a look at what they have begun."""
        limit = self._parts.config.scheduler_batch
        if self._handing_over.room(limit) <= 0:
            self._handing_over.sweep()
        return self._handing_over.room(limit)
