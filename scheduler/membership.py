"""A scheduler's place in the cluster: its number, and the partitions that it serves under leases."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog
from redis import RedisError

from orchestrator import errors
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import SCHEDULER, WORKER, NodeAlive, NodeIdentity
from orchestrator.config import Config
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import Ownership
from orchestrator.tasks.hints import publish_owners
from orchestrator.tasks.model import PARTITIONS
from orchestrator.transaction import SYSTEM_TENANT, Actor, Transaction
from orchestrator.wiring import Parts

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

WATCH_SECONDS = 7.0  # longer than a renewal: a place that is not renewed meanwhile belongs to a dead process


def name_of(cluster_id: int) -> str:
    return f"scheduler-{cluster_id}"


class Membership:
    """Keeps the node registered and its partitions leased. `tick` is called about once a second.

    The lease is trusted only for two thirds of its time, counted on the monotonic clock from before the
    renewal was sent: a node that was paused, or cut off, stops by itself before another may take over.
    """

    def __init__(self, parts: Parts) -> None:
        config = parts.config
        self._parts = parts
        self._config = config
        self.me = NodeIdentity(
            name=name_of(config.scheduler_cluster_id),
            kind=SCHEDULER,
            host=socket.gethostname(),
            pid=os.getpid(),
            working_path=str(_working_path(config)),
            cluster_id=config.scheduler_cluster_id,
            cluster_size=config.scheduler_cluster_size,
        )
        self.actor = Actor("scheduler", self.me.name)
        self.lease = timedelta(seconds=config.partition_lease_seconds)
        self._lock = threading.Lock()
        self._owned: dict[int, Ownership] = {}
        self._renewed = float("-inf")
        self._trusted_until = float("-inf")
        self.is_draining = False
        self.workers: frozenset[str] = frozenset()

    # What the loops ask ---------------------------------------------------------------------------------

    def owned(self) -> dict[int, Ownership]:
        """The partitions that may be served at this moment; none once the lease is no longer trusted."""
        if time.monotonic() >= self._trusted_until:
            return {}
        with self._lock:
            return dict(self._owned)

    def lost(self, partition: int) -> None:
        """A claim found that the partition has passed to another."""
        with self._lock:
            self._owned.pop(partition, None)

    def run(self, work: Callable[[Transaction], Result], *, read_only: bool = False) -> Result:
        """A transaction of the cluster itself: on behalf of no tenant."""
        return self._parts.transactions.run(
            work, tenant_id=SYSTEM_TENANT, actor=self.actor, read_only=read_only
        )

    # Joining and leaving --------------------------------------------------------------------------------

    def join(self) -> None:
        """Register, or raise an error that says what to change. Takes at most ten seconds."""
        self._refuse_disagreement()
        dead: str | None = None
        try:
            replaced = self.run(lambda tx: cluster.register(tx, self.me, self.lease))
        except NodeAlive as alive:
            dead = self._watch(alive)
            replaced = self.run(lambda tx: cluster.register(tx, self.me, self.lease, replace=dead))
        self.run(lambda tx: self._begin(tx, replaced))
        self.tick()

    def _begin(self, tx: Transaction, replaced: str | None) -> None:
        if replaced is not None:  # with what it served for others, which need not wait for its lease's end
            partitions.release(tx, replaced, range(PARTITIONS))
        partitions.acquire(tx, self._home(), self.me.owner, self.lease)

    def _refuse_disagreement(self) -> None:
        others = [
            node
            for node in self.run(lambda tx: cluster.living(tx, SCHEDULER), read_only=True)
            if node.name != self.me.name
        ]
        for node in others:
            if node.cluster_size != self.me.cluster_size:
                raise errors.ConfigurationError(
                    [
                        f"SCHEDULER_CLUSTER_SIZE is {self.me.cluster_size} here and {node.cluster_size} at "
                        f"{node.name} on {node.host}: give all schedulers the same size"
                    ]
                )
            if node.host == self.me.host and node.working_path == self.me.working_path:
                raise errors.ConfigurationError(
                    [
                        f"SCHEDULER_WORKING_PATH {self.me.working_path} is in use by {node.name}: "
                        "give each scheduler a folder of its own"
                    ]
                )

    def _watch(self, alive: NodeAlive) -> str:
        """Whether the holder of our place lives: dead if its process is gone or it renews no more."""
        before = self.run(lambda tx: cluster.find(tx, self.me.name), read_only=True)
        if before is None:
            return ""
        if before.host == self.me.host and not _process_lives(before.pid):
            return str(before.incarnation)
        deadline = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self.run(lambda tx: cluster.find(tx, self.me.name), read_only=True)
            if now is None:
                return ""
            if now.last_seen != before.last_seen:
                raise errors.ConfigurationError([alive.detail])
        return str(before.incarnation)

    def leave(self) -> None:
        """Give everything up at once."""
        self._trusted_until = float("-inf")
        with self._lock:
            owned, self._owned = list(self._owned), {}

        def goodbye(tx: Transaction) -> None:
            partitions.release(tx, self.me.owner, owned)
            cluster.leave(tx, self.me)

        try:
            self.run(goodbye)
        except errors.Unavailable:
            log.warning("left_without_saying", node=self.me.name)

    # Staying --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Renew when it is time, take over what nobody serves, give back what has its owner again."""
        began = time.monotonic()
        if began - self._renewed >= self.lease.total_seconds() / 3:
            self._renew(began)
        if not self.is_draining:
            self._adopt()

    def _renew(self, began: float) -> None:
        def renewing(tx: Transaction) -> tuple[Any | None, list[Ownership], list[str]]:
            node = cluster.renew(tx, self.me, self.lease)
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

    def _adopt(self) -> None:
        def adopting(tx: Transaction) -> tuple[list[Ownership], list[int]]:
            living = {node.cluster_id for node in cluster.living(tx, SCHEDULER) if not node.is_draining}
            free = partitions.unowned(tx)
            size = self.me.cluster_size
            wanted = [p for p in free if p % size + 1 == self.me.cluster_id or p % size + 1 not in living]
            guests = [p for p in list(self._owned) if p % size + 1 != self.me.cluster_id]
            back = [p for p in guests if p % size + 1 in living]
            partitions.release(tx, self.me.owner, back)
            return partitions.acquire(tx, wanted, self.me.owner, self.lease), back

        gained, given_back = self.run(adopting)
        with self._lock:
            for partition in given_back:
                self._owned.pop(partition, None)
            self._owned.update({o.partition: o for o in gained})
        if gained or given_back:
            log.info("partitions", node=self.me.name, gained=len(gained), given_back=len(given_back))
            self._tell_senders()

    def _home(self) -> list[int]:
        size = self.me.cluster_size
        return [p for p in range(PARTITIONS) if p % size + 1 == self.me.cluster_id]

    def _tell_senders(self) -> None:
        try:
            publish_owners(self._parts.redis, dict.fromkeys(self._owned, self.me.name))
        except RedisError as error:
            log.warning("owners_not_told", error=str(error)[:200])


def _working_path(config: Config) -> Path:
    path = config.scheduler_working_path.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.ConfigurationError(
            [f"SCHEDULER_WORKING_PATH {path} cannot be made: {error.strerror}"]
        ) from None
    return path.resolve()  # one folder has many spellings, and two schedulers must not share it


def _process_lives(pid: int) -> bool:
    if pid == os.getpid():
        return False  # the same number in the same place: a container that was started again
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
