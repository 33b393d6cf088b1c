"""Tasks get their places in line, and go back to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, case, insert, or_, select, update

from orchestrator.database import BY_KEY, new_guid
from orchestrator.tasks.claim import REWINDS
from orchestrator.tasks.model import RANK_SHIFT, Lane, Partition, Task, TaskKind, TaskStatus
from orchestrator.tasks.spread import Spread, partition_of
from orchestrator.transaction import Fact, Transaction

LOWEST_RANK = 100


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


def lock_partitions(tx: Transaction, partitions: Iterable[int]) -> None:
    """For who puts tasks back into several: in the one order, and before any task is locked."""
    ids = sorted(set(partitions))
    if ids:
        rows = select(Partition.id).with_hint(Partition, BY_KEY, "mysql").where(Partition.id.in_(ids))
        tx.execute(rows.order_by(Partition.id).with_for_update()).all()


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
        "ordering_key": task.ordering_key or None,
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


def put_back(
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
    """A task that was taken stands at its old place again: at once or, with `not_before`, later.

    `counted`: the attempt was one. The caller has locked the task, or guards it.
    """
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
