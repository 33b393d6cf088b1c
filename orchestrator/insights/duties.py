"""What people see of the master's duties."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.cluster import duties
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class Progress:
    """How far a long run is; `total` is null where nobody knows it."""

    done: int
    total: int | None


@dataclass(frozen=True)
class DutyView:
    """The last run of a duty, at most 15 seconds old. `ended_at` and `seconds` are null while it is at work.

    `counts` are those of the last run that changed something, at `counted_at`. `failures` counts runs that
    failed in a row, the last of which with `error`.
    """

    name: str
    node: str
    term: int
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    due_at: datetime | None
    counts: dict[str, int]
    counted_at: datetime | None
    failures: int
    error: str | None
    progress: Progress | None


def listed(tx: Transaction) -> list[DutyView]:
    return [_view(row) for row in duties.recorded(tx)]


def _view(row: Any) -> DutyView:
    return DutyView(
        name=row.name,
        node=row.node,
        term=row.term,
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=row.seconds,
        due_at=row.due_at,
        counts=row.counts,
        counted_at=row.counted_at,
        failures=row.failures,
        error=row.error,
        progress=None if row.done is None else Progress(row.done, row.total),
    )
