"""The loop of a scheduler's thread: take the oldest line, claim a batch, do it, and again."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import structlog

from orchestrator import errors
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks.claim import Batch, Ownership, claim
from orchestrator.tasks.model import Lane
from orchestrator.wiring import Parts
from scheduler.handing_over import HandingOver
from scheduler.lineup import Line, Lineup
from scheduler.membership import Membership
from scheduler.perform import perform

log = structlog.get_logger(__name__)

CLAIM_LEASE = timedelta(seconds=30)
PAUSE_AFTER_ERROR_SECONDS = 1.0


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
        batch: Batch | None = None
        try:
            batch = self._serve(owned[line[0]], line)
        finally:
            self._lineup.put_back(line, *(batch.next_created_at, batch.next_tenant_id) if batch else (None,))

    def _serve(self, ownership: Ownership, line: Line) -> Batch | None:
        lane = line[1]
        limit = self._parts.config.scheduler_batch
        if lane == Lane.WORKER:
            limit = self._room()
        if limit <= 0:
            return None
        try:
            batch = self._membership.run(lambda tx: claim(tx, ownership, lane, limit, CLAIM_LEASE))
        except errors.StaleFence as stale:
            log.info("partition_lost", node=self._membership.me.name, detail=stale.detail)
            self._membership.lost(ownership.partition)
            return None
        if batch.tasks:
            self._do(batch, lane)
        return batch

    def _room(self) -> int:
        """How many tasks the worker nodes may be given now, after a look at what they have begun."""
        limit = self._parts.config.scheduler_batch
        if self._handing_over.room(limit) <= 0:
            self._handing_over.sweep()
        return self._handing_over.room(limit)

    def _do(self, batch: Batch, lane: Lane) -> None:
        began = time.monotonic()
        try:
            if lane == Lane.WORKER:
                self._handing_over.hand_over(batch.tasks)
            else:
                perform(self._membership, batch.tasks)
        except errors.Unavailable:
            raise  # the claim's lease, or the next owner of the partition, puts the batch back
        except Exception:
            self._membership.run(lambda tx: tasks.release(tx, batch.tasks, lane))
            raise
        log.debug("batch", tasks=len(batch.tasks), lane=lane.name, seconds=time.monotonic() - began)
