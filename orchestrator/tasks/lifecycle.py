"""The life of a task after its claim: start, renew, finish, fail; and what people ask for: cancel, retry.

Every change of state is a guarded UPDATE; the row count is the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from orchestrator.errors import Conflict, NotFound, StaleFence
from orchestrator.tasks.claimed import give_up
from orchestrator.tasks.enqueueing import TasksQueued, put_back
from orchestrator.tasks.model import Lane, Task, TaskKind, TaskStatus
from orchestrator.tasks.past import find, recall
from orchestrator.transaction import Transaction

RETRY_DELAY = timedelta(seconds=5)
RETRY_DELAY_LIMIT = timedelta(minutes=10)


# Work on a worker node ----------------------------------------------------------------------------------


def start(tx: Transaction, guid: str, fence: int, node: str, lease: timedelta) -> Any:
    """A node begins a claimed task: returns its row. `StaleFence` where the claim no longer stands."""
    tx.step = "start_task"
    values = {"status": TaskStatus.RUNNING.value, "started_at": tx.now}
    _guarded(tx, guid, fence, {TaskStatus.CLAIMED}, values | {"owner": node, "lease_until": tx.now + lease})
    row = find(tx, guid)
    tx.announce(TasksQueued(frozenset({row.partition})))  # its owner has room to hand over another
    return row


def renew(tx: Transaction, guid: str, fence: int, node: str, lease: timedelta) -> None:
    _guarded(tx, guid, fence, {TaskStatus.RUNNING}, {"owner": node, "lease_until": tx.now + lease})


def finish(tx: Transaction, guid: str, fence: int, result: Any) -> None:
    """The node reports success. Said again with the same fence, it is accepted and changes nothing."""
    tx.step = "finish_task"
    values = {"status": TaskStatus.SUCCEEDED.value, "result": result, "finished_at": tx.now}
    if not _repeated(tx, guid, fence, TaskStatus.SUCCEEDED):
        _guarded(tx, guid, fence, {TaskStatus.RUNNING}, values | {"owner": "", "lease_until": None})


def fail(tx: Transaction, guid: str, fence: int, error: str) -> None:
    """The node reports failure: again after a delay while attempts are left, else visibly failed."""
    row = find(tx, guid, lock=True)
    if row is None:
        raise NotFound(f"There is no task {guid}.")
    if row.fence == fence and row.status in (TaskStatus.FAILED, TaskStatus.POSTPONED):
        return  # said again: the answer to the first word was lost
    if row.fence != fence or row.status != TaskStatus.RUNNING:
        raise StaleFence(f"Task {guid} has passed to another: fence {fence} no longer counts.")
    give_up_or_retry(tx, row, error)


def give_up_or_retry(tx: Transaction, row: Any, error: str) -> None:
    """What follows a failed attempt of a task whose row the caller has locked."""
    if row.attempt >= row.max_attempts:
        give_up(tx, row.id, error)
        return
    doublings = min(row.attempt - 1, 20)  # beyond, the product is no timedelta any more
    delay = min(RETRY_DELAY * 2**doublings, RETRY_DELAY_LIMIT)
    put_back(
        tx,
        row.id,
        row.partition,
        Lane(row.lane),
        row.position,
        counted=True,
        not_before=tx.now + delay,
        error=error,
    )


def _repeated(tx: Transaction, guid: str, fence: int, status: TaskStatus) -> bool:
    row = find(tx, guid)
    if row is None:
        raise NotFound(f"There is no task {guid}.")
    return bool(row.status == status and row.fence == fence)


def _guarded(
    tx: Transaction, guid: str, fence: int, sources: Iterable[TaskStatus], values: dict[str, Any]
) -> None:
    statement = (
        update(Task)
        .where(Task.tenant_id == tx.tenant_id, Task.guid == guid, Task.fence == fence)
        .where(Task.status.in_([status.value for status in sources]))
        .values(values)
    )
    if tx.execute(statement).rowcount != 1:
        if find(tx, guid) is None:
            raise NotFound(f"There is no task {guid}.")
        raise StaleFence(f"Task {guid} has passed to another: fence {fence} no longer counts.")


# What people ask for ------------------------------------------------------------------------------------


def cancel(tx: Transaction, guid: str) -> None:
    """Cancel a task that no node has begun. A begun one runs to its end."""
    waiting = [s.value for s in (TaskStatus.QUEUED, TaskStatus.POSTPONED, TaskStatus.CLAIMED)]
    statement = (
        update(Task)
        .where(Task.tenant_id == tx.tenant_id, Task.guid == guid)
        .where(Task.status.in_(waiting), Task.kind == TaskKind.ACTIVITY.value)
        .values(status=TaskStatus.CANCELLED.value, owner="", lease_until=None, finished_at=tx.now)
    )
    if tx.execute(statement).rowcount != 1:
        _refuse(tx, guid, "cancelled: only an activity that has not begun can be")


def cancel_for(tx: Transaction, kind: TaskKind, subject_id: int) -> None:
    """What a task of this kind was to do for its subject is no longer wanted, unless it has begun."""
    waiting = [s.value for s in (TaskStatus.QUEUED, TaskStatus.POSTPONED, TaskStatus.CLAIMED)]
    statement = (
        update(Task)
        .where(Task.kind == kind.value, Task.subject_id == subject_id, Task.tenant_id == tx.tenant_id)
        .where(Task.status.in_(waiting))
        .values(status=TaskStatus.CANCELLED.value, owner="", lease_until=None, finished_at=tx.now)
    )
    tx.execute(statement)


def retry(tx: Transaction, guid: str) -> None:
    """Put a failed or cancelled task back in its place, with all its attempts before it again; one that is
    history comes back from there."""
    row = find(tx, guid, lock=True)
    if row is None or row.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED):
        _refuse(tx, guid, "retried: only a failed or cancelled one can be")
    if row.kind == TaskKind.OPEN_SESSION:
        raise Conflict(f"Task {guid} opened one session; while jobs wait, another is asked for by itself.")
    recall(tx, row)
    again = {"attempt": 0, "result": None, "finished_at": None, "started_at": None, "claimed_at": None}
    tx.execute(update(Task).where(Task.id == row.id).values(again))
    put_back(tx, row.id, row.partition, Lane(row.lane), row.position, counted=True)


def _refuse(tx: Transaction, guid: str, what: str) -> None:
    row = find(tx, guid)
    if row is None:
        raise NotFound(f"There is no task {guid}.")
    raise Conflict(f"Task {guid} is {TaskStatus(row.status).name.lower()} and cannot be {what}.")
