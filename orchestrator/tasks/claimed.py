"""Claimed tasks that a scheduler works on: finished, given back, postponed, set aside.

Each verb acts on those whose claim still stands; the others were taken over, which is counted and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy import bindparam, select, tuple_, update

from orchestrator.database import BY_KEY
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.tasks.enqueueing import lock_partitions, put_back
from orchestrator.tasks.model import Lane, Task, TaskStatus
from orchestrator.transaction import Fact, Transaction

log = structlog.get_logger(__name__)

NODE_AWAY_DELAY = timedelta(seconds=5)


@dataclass(frozen=True)
class StaleWritesRefused(Fact):
    """So many claimed tasks were written to whose claims no longer stood, and nothing was changed."""

    count: int


_LOCK_CLAIMED = (
    select(Task.id)
    .with_hint(Task, BY_KEY, "mysql")
    .where(
        Task.id.in_(bindparam("p_ids", expanding=True)),
        tuple_(Task.id, Task.fence).in_(bindparam("p_marks", expanding=True)),
        Task.status == TaskStatus.CLAIMED.value,
    )
    .with_for_update()
)
_SUCCEED_MANY = (
    update(Task)
    .where(Task.id.in_(bindparam("p_ids", expanding=True)), Task.status == TaskStatus.CLAIMED.value)
    .values(
        status=TaskStatus.SUCCEEDED.value,
        owner="",
        lease_until=None,
        started_at=bindparam("p_now"),
        finished_at=bindparam("p_now"),
    )
)


def lock_claimed(tx: Transaction, tasks: Sequence[ClaimedTask]) -> list[ClaimedTask]:
    """Those of `tasks` whose claim still stands, locked until the transaction ends."""
    lock_partitions(tx, [task.partition for task in tasks])  # in which some may be put back
    marks = {"p_ids": [t.id for t in tasks], "p_marks": [(t.id, t.fence) for t in tasks]}
    standing = set(tx.execute(_LOCK_CLAIMED, marks).scalars())
    if gone := len(tasks) - len(standing):
        log.info("stale_write_refused", what="claimed tasks", count=gone, actor=str(tx.actor))
        tx.announce(StaleWritesRefused(gone))
    return [task for task in tasks if task.id in standing]


def succeed_claimed(tx: Transaction, tasks: Sequence[ClaimedTask]) -> None:
    """Finish tasks that `lock_claimed` has returned in this transaction."""
    if tasks:
        tx.execute(_SUCCEED_MANY, {"p_ids": [task.id for task in tasks], "p_now": tx.now})


def release(tx: Transaction, tasks: Sequence[ClaimedTask], lane: Lane, *, counted: bool = False) -> int:
    """Give claimed tasks back to their old places, as if they had not been taken. Returns how many.

    `counted`: the attempt was one.
    """
    standing = lock_claimed(tx, tasks)
    for task in standing:
        put_back(tx, task.id, task.partition, lane, task.position, counted=counted)
    return len(standing)


def set_aside(tx: Transaction, task: ClaimedTask, error: str, pause: timedelta | None) -> None:
    """A claimed task steps aside, so that others go on: for a while or, without a `pause`, for good."""
    if not lock_claimed(tx, [task]):
        return
    if pause is None:
        give_up(tx, task.id, error)
        return
    put_back(
        tx,
        task.id,
        task.partition,
        Lane.SCHEDULER,
        task.position,
        counted=True,
        not_before=tx.now + pause,
        error=error,
    )


def postpone(tx: Transaction, tasks: Sequence[ClaimedTask], lane: Lane) -> None:
    """Give claimed tasks back for a while: the node that they are for is away."""
    for task in lock_claimed(tx, tasks):
        later = tx.now + NODE_AWAY_DELAY
        put_back(tx, task.id, task.partition, lane, task.position, counted=False, not_before=later)


def give_up(tx: Transaction, task_id: int, error: str) -> None:
    """Failed for good: it stays visible, until a person retries it."""
    values = {"status": TaskStatus.FAILED.value, "finished_at": tx.now, "error": error}
    values |= {"owner": "", "lease_until": None}
    tx.execute(update(Task).where(Task.id == task_id).values(values))
