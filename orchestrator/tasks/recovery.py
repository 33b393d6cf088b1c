"""What brings tasks back into line: postponed ones that are due, and claims whose lease has lapsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select, update

from orchestrator.database import database_time
from orchestrator.tasks.enqueueing import TasksQueued, lock_partitions, rewind
from orchestrator.tasks.lifecycle import give_up_or_retry
from orchestrator.tasks.model import Lane, Task, TaskStatus
from orchestrator.transaction import Transaction

SWEEP_LIMIT = 200


def promote_due(tx: Transaction, partitions: Sequence[int]) -> int:
    """Put postponed tasks whose time has come into their places in line. Returns how many."""
    due = (
        select(Task.id, Task.partition, Task.lane, Task.position)
        .where(Task.status == TaskStatus.POSTPONED.value, Task.not_before <= database_time())
        .where(Task.partition.in_(partitions))
        .limit(SWEEP_LIMIT)
    )
    return _requeue(tx, tx.execute(due).all(), TaskStatus.POSTPONED)


def take_back_from(tx: Transaction, partitions: Sequence[int], epoch_owner: str) -> int:
    """On adoption: what earlier owners had claimed in these partitions and not handed on goes back."""
    held = (
        select(Task.id, Task.partition, Task.lane, Task.position)
        .where(Task.partition.in_(partitions), Task.status == TaskStatus.CLAIMED.value)
        .where(Task.owner != epoch_owner)
    )
    return _requeue(tx, tx.execute(held).all(), TaskStatus.CLAIMED)


def lapse(tx: Transaction, partitions: Sequence[int]) -> int:
    """Claims and runs whose holder fell silent: claimed ones go back to their places, begun ones count
    as a failed attempt, because what they did to the world is not known."""
    tx.step = "put_back"
    lapsed = (
        select(*Task.__table__.columns)
        .where(Task.status.in_([TaskStatus.CLAIMED.value, TaskStatus.RUNNING.value]))
        .where(Task.lease_until < database_time(), Task.partition.in_(partitions))
        .limit(SWEEP_LIMIT)
    )
    found = {row.id: row.partition for row in tx.execute(lapsed)}
    if not found:
        return 0
    lock_partitions(tx, found.values())
    rows = tx.execute(lapsed.where(Task.id.in_(found)).with_for_update(skip_locked=True)).all()
    for row in rows:
        if row.status == TaskStatus.RUNNING:
            give_up_or_retry(tx, row, f"The node {row.owner} fell silent while it ran this.")
    _requeue(tx, [row for row in rows if row.status == TaskStatus.CLAIMED], TaskStatus.CLAIMED)
    return len(rows)


def give_back(tx: Transaction, owner: str) -> int:
    """Whatever the owner, who leaves in order, has claimed and not done goes back to its place, as if it had
    not been taken. Returns how many."""
    held = select(Task.id, Task.partition, Task.lane, Task.position).where(
        Task.status == TaskStatus.CLAIMED.value, Task.owner == owner
    )
    return _requeue(tx, tx.execute(held).all(), TaskStatus.CLAIMED, attempt=Task.attempt - 1)


def _requeue(tx: Transaction, rows: Sequence[Any], source: TaskStatus, attempt: Any = None) -> int:
    if not rows:
        return 0
    attempt = _attempt_after(source) if attempt is None else attempt
    moved = tx.execute(
        update(Task)
        .where(Task.id.in_([row.id for row in rows]), Task.status == source.value)
        .values(status=TaskStatus.QUEUED.value, owner="", lease_until=None, attempt=attempt)
    ).rowcount
    heads: dict[tuple[int, int], int] = {}
    for row in rows:
        key = (row.partition, row.lane)
        heads[key] = min(heads.get(key, row.position), row.position)
    for (partition, lane), position in sorted(heads.items()):
        rewind(tx, partition, Lane(lane), position)
    tx.announce(TasksQueued(frozenset(row.partition for row in rows)))
    return int(moved)


def _attempt_after(source: TaskStatus) -> Any:
    """A claim that reached no worker node was no attempt; what a scheduler held may have ended it."""
    if source != TaskStatus.CLAIMED:
        return Task.attempt
    return case((Task.lane == Lane.WORKER.value, Task.attempt - 1), else_=Task.attempt)


def backlog(tx: Transaction) -> int:
    """How many tasks wait in line, of all tenants."""
    waiting = select(func.count()).where(Task.status == TaskStatus.QUEUED.value)
    return int(tx.execute(waiting).scalar_one())
