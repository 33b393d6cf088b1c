"""What people see of the cluster: its schedulers, and who is master."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from orchestrator.cluster.lifecycle import MASTER, SCHEDULER, WORKER, owner_of
from orchestrator.cluster.model import Lease, Node
from orchestrator.insights import duties, maintenance_window
from orchestrator.insights.duties import DutyView
from orchestrator.insights.maintenance_window import WindowView
from orchestrator.insights.notices import NoticeView, notices
from orchestrator.tasks.model import Partition, Task, TaskStatus
from orchestrator.tasks.recovery import backlog
from orchestrator.transaction import Transaction

BATCH_SHOWN = 1000


@dataclass(frozen=True)
class Master:
    """`term` grows with each change of master."""

    node: str
    term: int
    until: datetime


@dataclass(frozen=True)
class SchedulerView:
    """`state` is up, draining or lost; `batch` holds the ids of the tasks that it has claimed.

    `is_designated`: it is to be master before the others. The rest is what it found around it, half a minute
    ago at most: the least room on its disks, and how far its clock is ahead of the database's.
    """

    name: str
    cluster_id: int
    host: str
    pid: int
    state: str
    version: str
    is_master: bool
    is_designated: bool
    partitions: list[int]
    batch: list[str]
    working_path: str
    started_at: datetime
    last_seen: datetime
    free_bytes: int | None
    clock_ahead_seconds: float | None


@dataclass(frozen=True)
class ClusterView:
    """`size` is how many schedulers there should be, `backlog` how many tasks wait in line.

    `duties` are the master's, with the last run of each, and `maintenance_window` is when rows move to
    history; `notices` say what is wrong, or will be.
    """

    size: int
    backlog: int
    master: Master | None
    nodes: list[SchedulerView]
    duties: list[DutyView]
    maintenance_window: WindowView
    notices: list[NoticeView]


def cluster(tx: Transaction, configured_size: int, configured_window: str) -> ClusterView:
    rows = tx.execute(_nodes(SCHEDULER).order_by(Node.cluster_id, Node.name)).all()
    living = [row for row in rows if row.lease_until > tx.now]
    master = _master(tx)
    partitions, batches = _partitions(tx), _batches(tx)
    done = duties.listed(tx)
    nodes, master_node = [], None
    for row in rows:
        owner = owner_of(row.name, row.incarnation)
        is_master = master is not None and master.holder == owner
        master_node = row if is_master else master_node
        nodes.append(_scheduler(tx, row, is_master, partitions[owner], batches[owner]))
    return ClusterView(
        size=_size(living, configured_size),
        backlog=backlog(tx),
        master=None
        if master is None
        else Master(master.holder.partition("#")[0], master.epoch, master.lease_until),
        nodes=nodes,
        duties=done,
        maintenance_window=maintenance_window.seen_at(tx.now, master_node, configured_window),
        notices=notices(living, _living_workers(tx), master is not None, done),
    )


def standing_notices(tx: Transaction) -> list[NoticeView]:
    """What `cluster` tells as its notices, without the rest."""
    rows = tx.execute(_nodes(SCHEDULER).where(Node.lease_until > tx.now).order_by(Node.name)).all()
    return notices(rows, _living_workers(tx), _master(tx) is not None, duties.listed(tx))


def _living_workers(tx: Transaction) -> Sequence[Any]:
    query = select(Node.name, Node.surroundings).where(Node.kind == WORKER, Node.lease_until > tx.now)
    return list(tx.execute(query.order_by(Node.name)))


def _size(living: list[Any], configured: int) -> int:
    """As the schedulers are configured; where their numbers are on lease, as many as live."""
    if not living:
        return configured
    return max(row.cluster_size for row in living) or len(living)


def _nodes(kind: str) -> Any:
    return select(*Node.__table__.columns).where(Node.kind == kind)


def _master(tx: Transaction) -> Any | None:
    query = select(Lease.holder, Lease.epoch, Lease.lease_until).where(
        Lease.name == MASTER, Lease.holder != "", Lease.lease_until > tx.now
    )
    return tx.execute(query).one_or_none()


def _partitions(tx: Transaction) -> defaultdict[str, list[int]]:
    owned: defaultdict[str, list[int]] = defaultdict(list)
    query = select(Partition.id, Partition.owner).where(Partition.owner != "", Partition.lease_until > tx.now)
    for row in tx.execute(query.order_by(Partition.id)):
        owned[row.owner].append(row.id)
    return owned


def _batches(tx: Transaction) -> defaultdict[str, list[str]]:
    """Claimed tasks of this tenant by who holds them: another's ids are nobody else's business."""
    held: defaultdict[str, list[str]] = defaultdict(list)
    query = (
        select(Task.guid, Task.owner)
        .where(Task.tenant_id == tx.tenant_id, Task.status == TaskStatus.CLAIMED.value)
        .order_by(Task.id)
        .limit(BATCH_SHOWN)
    )
    for row in tx.execute(query):
        held[row.owner].append(row.guid)
    return held


def _state(tx: Transaction, row: Any) -> str:
    if row.lease_until <= tx.now:
        return "lost"
    return "draining" if row.is_draining else "up"


def _scheduler(
    tx: Transaction, row: Any, is_master: bool, partitions: list[int], batch: list[str]
) -> SchedulerView:
    around = row.surroundings or {}
    return SchedulerView(
        name=row.name,
        cluster_id=row.cluster_id,
        host=row.host,
        pid=row.pid,
        state=_state(tx, row),
        version=row.version,
        is_master=is_master,
        is_designated=row.is_designated,
        partitions=partitions,
        batch=batch,
        working_path=row.working_path,
        started_at=row.started_at,
        last_seen=row.last_seen,
        free_bytes=around.get("free_bytes"),
        clock_ahead_seconds=around.get("clock_ahead_seconds"),
    )
