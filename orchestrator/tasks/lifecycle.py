"""The verbs of tasks: enqueue, start, renew, finish, fail, release, cancel, retry.

Every change of state is a guarded UPDATE; the row count is the verdict.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import bindparam, case, insert, or_, select, tuple_, update

from orchestrator.database import new_guid
from orchestrator.errors import Conflict, NotFound, StaleFence
from orchestrator.tasks.claim import REWINDS, ClaimedTask
from orchestrator.tasks.model import RANK_SHIFT, Lane, Partition, Task, TaskKind, TaskStatus
from orchestrator.tasks.past import find, recall
from orchestrator.tasks.spread import Spread, partition_of
from orchestrator.transaction import Fact, Transaction

log = structlog.get_logger(__name__)

LOWEST_RANK = 100
RETRY_DELAY = timedelta(seconds=5)
RETRY_DELAY_LIMIT = timedelta(minutes=10)


@dataclass(frozen=True)
class TasksQueued(Fact):
    """There is work in these partitions: the hint that wakes their owners."""

    partitions: frozenset[int]


@dataclass
class NewTask:
    kind: TaskKind
    subject_id: int = 0
    activity: str = ""
    arguments: Any = field(default_factory=dict)
    node: str = ""
    ordering_key: str = ""
    rank: int = LOWEST_RANK
    not_before: datetime | None = None
    max_attempts: int = 1
    guid: str = field(default_factory=new_guid)

    @property
    def lane(self) -> Lane:
        return Lane.SCHEDULER if self.kind == TaskKind.DISPATCH else Lane.WORKER


_spread = Spread()


_ADVANCE = (
    update(Partition)
    .where(Partition.id == bindparam("p_partition"))
    .values(next_seq=Partition.next_seq + bindparam("p_count"))
)
_NEXT_SEQ = select(Partition.next_seq).where(Partition.id == bindparam("p_partition"))
_INSERT = insert(Task)


def enqueue(tx: Transaction, tasks: Sequence[NewTask]) -> list[tuple[int, int]]:
    """Put tasks at their places in line; return each one's (partition, seq), in the order given.

    Call it last before the commit: the partitions' rows are locked from here on, so that the order of
    `seq` is the order of commit, and everything before this need not wait for other producers.
    """
    by_partition: dict[int, list[NewTask]] = defaultdict(list)
    for task in tasks:
        key = task.ordering_key
        by_partition[partition_of(key) if key else _spread.next(tx.tenant_id)].append(task)
    places: dict[str, tuple[int, int]] = {}
    for partition in sorted(by_partition):  # one order of locking for all
        members = by_partition[partition]
        first = _reserve(tx, partition, len(members))
        places |= {task.guid: (partition, first + index) for index, task in enumerate(members)}
        for lane in {task.lane for task in members}:
            _mark_rewind(tx, partition, lane, [t for t in members if t.lane == lane], places)
    tx.execute(_INSERT, [_row(tx, task, *places[task.guid]) for task in tasks])
    tx.announce(TasksQueued(frozenset(by_partition)))
    return [places[task.guid] for task in tasks]


def _reserve(tx: Transaction, partition: int, count: int) -> int:
    tx.execute(_ADVANCE, {"p_partition": partition, "p_count": count})
    return int(tx.execute(_NEXT_SEQ, {"p_partition": partition}).scalar_one()) - count


def _mark_rewind(
    tx: Transaction,
    partition: int,
    lane: Lane,
    members: Sequence[NewTask],
    places: dict[str, tuple[int, int]],
) -> None:
    """Tell the owner's cursor of tasks that stand before the end of the line."""
    ahead = [_position(task.rank, places[task.guid][1]) for task in members if task.rank < LOWEST_RANK]
    if ahead:
        rewind(tx, partition, lane, min(ahead))


def rewind(tx: Transaction, partition: int, lane: Lane, position: int) -> None:
    """A task at `position` is in the line (again): the next claim must not start behind it."""
    column = getattr(Partition, REWINDS[lane])
    before = position - 1
    lower = case((or_(column.is_(None), column > before), before), else_=column)
    tx.execute(update(Partition).where(Partition.id == partition).values({REWINDS[lane]: lower}))


def _position(rank: int, seq: int) -> int:
    return rank * RANK_SHIFT + seq


def _row(tx: Transaction, task: NewTask, partition: int, seq: int) -> dict[str, Any]:
    postponed = task.not_before is not None and task.not_before > tx.now
    return {
        "tenant_id": tx.tenant_id,
        "guid": task.guid,
        "kind": task.kind.value,
        "lane": task.lane.value,
        "subject_id": task.subject_id,
        "activity": task.activity,
        "arguments": task.arguments,
        "node": task.node,
        "partition": partition,
        "seq": seq,
        "position": _position(task.rank, seq),
        "status": (TaskStatus.POSTPONED if postponed else TaskStatus.QUEUED).value,
        "attempt": 0,
        "max_attempts": task.max_attempts,
        "fence": 0,
        "owner": "",
        "not_before": task.not_before,
        "created_by": str(tx.actor)[:200],
        "created_at": tx.now,
    }


# Claimed tasks that a scheduler works on ----------------------------------------------------------------

_LOCK_CLAIMED = (
    select(Task.id)
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
    marks = {"p_ids": [t.id for t in tasks], "p_marks": [(t.id, t.fence) for t in tasks]}
    standing = set(tx.execute(_LOCK_CLAIMED, marks).scalars())
    if gone := len(tasks) - len(standing):
        log.info("stale_write_refused", what="claimed tasks", count=gone, actor=str(tx.actor))
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
        _put_back(tx, task.id, task.partition, lane, task.position, counted=counted)
    return len(standing)


def set_aside(tx: Transaction, task: ClaimedTask, error: str, pause: timedelta | None) -> None:
    """A claimed task steps aside, so that others go on: for a while or, without a `pause`, for good."""
    if not lock_claimed(tx, [task]):
        return
    if pause is None:
        _give_up(tx, task.id, error)
        return
    _put_back(
        tx,
        task.id,
        task.partition,
        Lane.SCHEDULER,
        task.position,
        counted=True,
        not_before=tx.now + pause,
        error=error,
    )


def _give_up(tx: Transaction, task_id: int, error: str) -> None:
    """Failed for good: it stays visible, until a person retries it."""
    values = {"status": TaskStatus.FAILED.value, "finished_at": tx.now, "error": error}
    values |= {"owner": "", "lease_until": None}
    tx.execute(update(Task).where(Task.id == task_id).values(values))


def postpone(tx: Transaction, tasks: Sequence[ClaimedTask], lane: Lane) -> None:
    """Give claimed tasks back for a while: the node that they are for is away."""
    for task in lock_claimed(tx, tasks):
        later = tx.now + RETRY_DELAY
        _put_back(tx, task.id, task.partition, lane, task.position, counted=False, not_before=later)


def _put_back(
    tx: Transaction,
    task_id: int,
    partition: int,
    lane: Lane,
    position: int,
    *,
    counted: bool,
    not_before: datetime | None = None,
    error: str | None = None,
) -> None:
    status = TaskStatus.POSTPONED if not_before else TaskStatus.QUEUED
    values: dict[str, Any] = {
        "status": status.value,
        "owner": "",
        "lease_until": None,
        "not_before": not_before,
        "error": error,
    }
    if not counted:
        values["attempt"] = Task.attempt - 1
    tx.execute(update(Task).where(Task.id == task_id).values(values))
    rewind(tx, partition, lane, position)
    tx.announce(TasksQueued(frozenset({partition})))


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
        _give_up(tx, row.id, error)
        return
    doublings = min(row.attempt - 1, 20)  # beyond, the product is no timedelta any more
    delay = min(RETRY_DELAY * 2**doublings, RETRY_DELAY_LIMIT)
    _put_back(
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
    _put_back(tx, row.id, row.partition, Lane(row.lane), row.position, counted=True)


def _refuse(tx: Transaction, guid: str, what: str) -> None:
    row = find(tx, guid)
    if row is None:
        raise NotFound(f"There is no task {guid}.")
    raise Conflict(f"Task {guid} is {TaskStatus(row.status).name.lower()} and cannot be {what}.")
