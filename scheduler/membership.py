"""A scheduler's place in the cluster, and the partitions that it serves under leases."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, TypeVar

import structlog

from orchestrator import errors
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import SCHEDULER, WORKER, NodeAlive
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import Ownership
from orchestrator.tasks.claimed import StaleWritesRefused
from orchestrator.transaction import SYSTEM_TENANT, Actor, Transaction
from orchestrator.wiring import Parts
from scheduler import joining, shares
from scheduler.joining import Hindered, Place

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


def _nothing() -> Collection[int]:
    return ()


class Membership:
    """Keeps the node registered and its partitions leased. `tick` is called about once a second.

    The lease is trusted only for two thirds of its time, counted on the monotonic clock from before the
    renewal was sent: a node that was paused, or cut off, stops by itself before another may take over.
    """

    def __init__(self, parts: Parts, busy: Callable[[], Collection[int]] = _nothing) -> None:
        """`busy` says at which partitions there is a batch in hand: none of them is given back meanwhile."""
        self._parts = parts
        self._busy = busy
        self.me = joining.identity(parts.config)
        self.lease = timedelta(seconds=parts.config.partition_lease_seconds)
        self._lock = threading.Lock()
        self._owned: dict[int, Ownership] = {}
        self._leaving: frozenset[int] = frozenset()
        self._renewed = float("-inf")
        self._trusted_until = float("-inf")
        self.is_draining = False
        self.workers: frozenset[str] = frozenset()
        self.surroundings: dict[str, Any] | None = None
        self.designated: str | None = None
        """The other scheduler that is to be master before all others, while it lives."""
        self.stale_writes = 0
        """What this scheduler tried to write, since its start, after its right had passed to another."""
        parts.transactions.subscribe(StaleWritesRefused, self._count_refused)

    # What the loops ask ---------------------------------------------------------------------------------

    def owned(self) -> dict[int, Ownership]:
        """The partitions that may be served at this moment; none once the lease is no longer trusted."""
        if time.monotonic() >= self._trusted_until:
            return {}
        with self._lock:
            return {p: owned for p, owned in self._owned.items() if p not in self._leaving}

    def lost(self, partition: int) -> None:
        """A claim found that the partition has passed to another."""
        with self._lock:
            self._owned.pop(partition, None)
            self.stale_writes += 1

    def _count_refused(self, refused: list[StaleWritesRefused]) -> None:
        with self._lock:
            self.stale_writes += sum(one.count for one in refused)

    def run(self, work: Callable[[Transaction], Result], *, read_only: bool = False) -> Result:
        """A transaction of the cluster itself: on behalf of no tenant."""
        actor = Actor("scheduler", self.me.name)
        return self._parts.transactions.run(work, tenant_id=SYSTEM_TENANT, actor=actor, read_only=read_only)

    # Joining and leaving --------------------------------------------------------------------------------

    def join(self) -> None:
        """Register, or raise an error that says what to change. Takes at most ten seconds."""
        try:
            place = self._take_place()
        except Hindered as hindered:
            dead = joining.found_dead(hindered, self.me, self.lease, self._look)
            try:
                place = self._take_place(dead)
            except Hindered as another:
                raise errors.ConfigurationError([str(another)]) from None
        self.me = place.me
        if place.replaced is not None:  # with what it served, which need not wait for its lease's end
            replaced = place.replaced
            self.run(lambda tx: partitions.desert(tx, replaced))
        self.tick()

    def _take_place(self, dead: Collection[str] = ()) -> Place:
        return self.run(lambda tx: joining.take_place(tx, self.me, self.lease, dead))

    def _look(self, name: str) -> Any | None:
        return self.run(lambda tx: cluster.find(tx, name), read_only=True)

    def leave(self) -> None:
        """Give everything up at once."""
        self._trusted_until = float("-inf")
        with self._lock:
            owned, self._owned = list(self._owned), {}

        def goodbye(tx: Transaction) -> None:
            cluster.leave(tx, self.me)  # the node's row first, as where both are renewed
            partitions.release(tx, self.me.owner, owned)

        try:
            self.run(goodbye)
        except errors.Unavailable:
            log.warning("left_without_saying", node=self.me.name)

    # Staying --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Renew when it is time, take over what nobody serves, give back what is another's to serve."""
        began = time.monotonic()
        if began - self._renewed >= self.lease.total_seconds() / 3:
            self._renew(began)
        self._share_out()

    def _renew(self, began: float) -> None:
        def renewing(tx: Transaction) -> tuple[Any | None, list[Ownership], list[str]]:
            node = cluster.renew(tx, self.me, self.lease, self.surroundings)
            if node is None:
                return None, [], []
            workers = [worker.name for worker in cluster.living(tx, WORKER) if not worker.is_draining]
            return node, partitions.renew(tx, self.me.owner, self.lease), workers

        node, standing, workers = self.run(renewing)
        if node is None:
            raise NodeAlive(f"The place {self.me.name} was taken over by another process.")
        self.is_draining = self.is_draining or node.is_draining
        self.workers = frozenset(workers)
        self._keep(standing)
        self._renewed = began
        self._trusted_until = began + self.lease.total_seconds() * 2 / 3
        self._tell_senders()

    def _keep(self, standing: list[Ownership]) -> None:
        """Take over what the database says, keeping the cursors of partitions that stayed ours."""
        with self._lock:
            known = self._owned
            self._owned = {
                o.partition: known[o.partition]
                if o.partition in known and known[o.partition].epoch == o.epoch
                else o
                for o in standing
            }

    def _share_out(self) -> None:
        def look(tx: Transaction) -> tuple[list[Any], list[int]]:
            return cluster.living(tx, SCHEDULER), partitions.unowned(tx)

        members, free = self.run(look, read_only=True)
        serving = [node for node in members if not node.is_draining]
        others = (node.name for node in serving if node.is_designated and node.name != self.me.name)
        self.designated = next(others, None)
        if self.is_draining:
            return
        step = self._next_step([node.cluster_id for node in serving], free)
        # No new batch of these is begun from here on; one that is in hand is finished first.
        self._leaving = frozenset(step.give_back)
        back = self._leaving.difference(self._busy())
        if step.take or back:
            self._change_hands(step.take, back)

    def _next_step(self, living: list[int], free: list[int]) -> shares.Step:
        me, owned = self.me, list(self._owned)
        if me.cluster_size == 0:
            return shares.by_count(me.cluster_id, living, owned, free)
        return shares.by_number(me.cluster_id, me.cluster_size, living, owned, free)

    def _change_hands(self, wanted: list[int], back: Collection[int]) -> None:
        def changing(tx: Transaction) -> list[Ownership]:
            partitions.release(tx, self.me.owner, back)
            return partitions.acquire(tx, wanted, self.me.owner, self.lease)

        gained = self.run(changing)
        with self._lock:
            for partition in back:
                self._owned.pop(partition, None)
            self._owned.update({o.partition: o for o in gained})
        if gained or back:
            log.info("partitions", node=self.me.name, gained=len(gained), given_back=len(back))
            self._tell_senders()

    def _tell_senders(self) -> None:
        self._parts.hints.tell_owners(dict.fromkeys(self._owned, self.me.name))
