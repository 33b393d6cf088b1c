"""The heads of the lines: which partitions hold work, and how old their oldest is. One query for all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, literal, select, union_all

from orchestrator.tasks.model import Lane, Task, TaskStatus
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import Transaction


class Head(NamedTuple):
    partition: int
    lane: Lane
    position: int
    created_at: datetime
    tenant_id: int = DEFAULT_TENANT
    attempt: int = 0


def _head_of(partition: int, lane: Lane) -> Any:
    # A dive into the index for each line; a GROUP BY would read the whole backlog.
    head = (
        select(Task.partition, Task.lane, Task.position, Task.created_at, Task.tenant_id, Task.attempt)
        .where(
            Task.partition == literal(partition, literal_execute=True),
            Task.lane == literal(lane.value, literal_execute=True),
            Task.status == bindparam("p_queued"),
        )
        .order_by(Task.position)
        .limit(literal(1, literal_execute=True))
        .subquery(f"line_{partition}_{lane.value}")
    )
    return select(head)


class HeadsQuery:
    """The heads of some partitions' lines; the statement is built once for a set of partitions."""

    def __init__(self, partitions: Sequence[int]) -> None:
        dives = [_head_of(partition, lane) for partition in sorted(partitions) for lane in Lane]
        self._statement = union_all(*dives) if dives else None

    def read(self, tx: Transaction) -> list[Head]:
        if self._statement is None:
            return []
        rows = tx.execute(self._statement, {"p_queued": TaskStatus.QUEUED.value}).all()
        return [
            Head(r.partition, Lane(r.lane), r.position, r.created_at, r.tenant_id, r.attempt) for r in rows
        ]
