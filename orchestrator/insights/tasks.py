"""What people see of tasks, and what a worker node gets to do one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select

from orchestrator.errors import NotFound
from orchestrator.insights.paging import Page, page
from orchestrator.past import live_of
from orchestrator.tasks import past as tasks
from orchestrator.tasks.model import PAST_TASKS, Task, TaskStatus
from orchestrator.transaction import Transaction

# A postponed task is queued, but not before a time, which is shown beside.
WAITING = ("queued", "claimed", "running")
STATES = {status: status.name.lower() for status in TaskStatus} | {TaskStatus.POSTPONED: "queued"}


@dataclass(frozen=True)
class TaskView:
    """`owner` holds the lease on it until `lease_until`; `partition` and `seq` are its place in line."""

    id: str
    kind: str
    activity: str
    arguments: Any
    node: str
    ordering_key: str
    state: str
    attempt: int
    max_attempts: int
    owner: str
    lease_until: datetime | None
    not_before: datetime | None
    result: Any
    error: str | None
    partition: int
    seq: int
    created_by: str
    created_at: datetime
    claimed_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Filters:
    state: str | None = None
    kind: str | None = None
    activity: str | None = None
    node: str | None = None
    ordering_key: str | None = None
    owner: str | None = None


def found(tx: Transaction, guid: str) -> Any:
    """The task's row. Raises `NotFound`."""
    row = tasks.find(tx, guid.lower())
    if row is None:
        raise NotFound(f"There is no task {guid}.")
    return row


def one(tx: Transaction, guid: str) -> TaskView:
    return view(found(tx, guid))


def listed(tx: Transaction, filters: Filters, limit: int, cursor: str | None) -> Page[TaskView]:
    live, past = [
        (
            select(*table.columns).where(table.c.tenant_id == tx.tenant_id, *_conditions(filters, table)),
            table.c.id,
        )
        for table in (live_of(Task), PAST_TASKS)
    ]
    in_history = None if filters.state in WAITING else past
    return page(tx, *live, limit, cursor, lambda rows: [view(row) for row in rows], in_history)


def _conditions(filters: Filters, table: Table) -> Iterable[Any]:
    if filters.state is not None:
        yield table.c.status.in_([status.value for status, name in STATES.items() if name == filters.state])
    for name in ("kind", "activity", "node", "ordering_key", "owner"):
        wanted = getattr(filters, name)
        if wanted is not None:
            yield table.c[name] == wanted


def failed(tx: Transaction, activity: str | None, limit: int) -> list[str]:
    """Ids of tasks that failed for good and are not history yet, the oldest first."""
    query = select(Task.guid).where(Task.tenant_id == tx.tenant_id, Task.status == TaskStatus.FAILED.value)
    if activity is not None:
        query = query.where(Task.activity == activity)
    return list(tx.execute(query.order_by(Task.id).limit(limit)).scalars())


def in_order_of_locking(tx: Transaction, guids: Iterable[str]) -> list[str]:
    """These tasks by partition: whoever locks many partitions' rows does so in one order. Raises `NotFound`
    naming the first that is not there."""
    wanted = [guid.lower() for guid in guids]
    query = select(Task.guid, Task.partition).where(Task.tenant_id == tx.tenant_id, Task.guid.in_(wanted))
    rows = {row.guid: row.partition for row in tx.execute(query)}
    for guid in wanted:
        if guid not in rows:
            rows[guid] = found(tx, guid).partition
    return sorted(rows, key=lambda guid: (rows[guid], guid))


def view(row: Any) -> TaskView:
    return TaskView(
        id=row.guid,
        kind=row.kind,
        activity=row.activity,
        arguments=row.arguments,
        node=row.node,
        ordering_key=row.ordering_key or "",
        state=STATES[TaskStatus(row.status)],
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        owner=row.owner,
        lease_until=row.lease_until,
        not_before=row.not_before,
        result=row.result,
        error=row.error,
        partition=row.partition,
        seq=row.seq,
        created_by=row.created_by,
        created_at=row.created_at,
        claimed_at=row.claimed_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
