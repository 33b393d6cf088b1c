"""What people and robots see of queues and resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Table, func, select

from orchestrator.insights.paging import Page, newest, oldest, page
from orchestrator.past import live_of
from orchestrator.resources import locks, search
from orchestrator.resources.conditions import Condition
from orchestrator.resources.lifecycle import DONE
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import (
    PAST_RESOURCE_HISTORY,
    PAST_RESOURCES,
    STATUS_NAMES,
    Queue,
    Resource,
    ResourceHistory,
    ResourceStatus,
)
from orchestrator.runs import lifecycle as runs_of
from orchestrator.transaction import Transaction

CHUNK = 500
LOOKED_AT = 10_000  # rows in one request of a list: a condition may fit few of a million


@dataclass(frozen=True)
class Holder:
    """A run, by its job's GUID, or a person, by name."""

    kind: str
    id: str


@dataclass(frozen=True)
class LockView:
    """`until` null: as long as the run of its initiator."""

    initiator: Holder
    until: datetime | None
    fence: int


@dataclass(frozen=True)
class Locks:
    read: LockView | None
    write: LockView | None


@dataclass(frozen=True)
class ResourceView:
    id: str
    queue: str
    reference: str | None
    value: Any
    status: str
    tags: list[str]
    priority: int
    parameters: dict[str, Any]
    attempt: int
    created_at: datetime
    updated_at: datetime
    postpone_until: datetime | None
    deadline: datetime | None
    result: Any
    error: str | None
    error_kind: str | None
    created_by: str
    locks: Locks


@dataclass(frozen=True)
class TakenView(ResourceView):
    """`fence` is the number of the lock that came with it: later writes may name it."""

    fence: int | None


@dataclass(frozen=True)
class QueueView:
    """`counts`: how many resources are in each status, without those that are history. Attempts count
    takings: the first is 1."""

    id: str
    name: str
    description: str
    json_schema: Any
    on_duplicate: str
    on_lost: str
    max_attempts: int
    retry_application_errors: bool
    retry_business_errors: bool
    retry_delay_seconds: int
    retry_backoff: float
    abandon_new_minutes: int | None
    abandon_in_progress_minutes: int | None
    created_at: datetime
    counts: dict[str, int]


@dataclass(frozen=True)
class ResourceEvent:
    at: datetime
    event: str
    actor: str
    run: str | None
    status: str
    attempt: int
    fence: int
    detail: dict[str, Any]


def view(tx: Transaction, row: Mapping[str, Any]) -> ResourceView:
    return many(tx, [row])[0]


def taken(tx: Transaction, row: Mapping[str, Any], fence: int) -> TakenView:
    return TakenView(**vars(view(tx, row)), fence=fence or None)


@dataclass(frozen=True)
class Known:
    """Names that need not be asked for: of queues by id, and the jobs' GUIDs of runs."""

    queues: Mapping[int, str] = field(default_factory=dict)
    runs: Mapping[int, str] = field(default_factory=dict)


NOTHING_KNOWN = Known()


def many(
    tx: Transaction, rows: Sequence[Mapping[str, Any]], known: Known = NOTHING_KNOWN
) -> list[ResourceView]:
    queue_ids = {row["queue_id"] for row in rows} - known.queues.keys()
    queues = {**known.queues, **_names(tx, Queue.id, Queue.name, queue_ids)}
    run_ids = {row[f"{mode}_run_id"] for row in rows for mode in Mode} - {None} - known.runs.keys()
    runs = {**known.runs, **runs_of.job_guids(tx, run_ids)}
    return [_view(tx, row, queues, runs) for row in rows]


def _names(tx: Transaction, key: Any, name: Any, ids: set[Any]) -> dict[int, str]:
    if not ids:
        return {}
    return {row[0]: row[1] for row in tx.execute(select(key, name).where(key.in_(ids)))}


def _view(
    tx: Transaction, row: Mapping[str, Any], queues: Mapping[int, str], runs: Mapping[int, str]
) -> ResourceView:
    shown = {name: row[name] for name in ResourceView.__dataclass_fields__ if name in row and name != "id"}
    return ResourceView(
        **shown
        | {
            "id": row["public_id"],
            "queue": queues.get(row["queue_id"], ""),
            "status": STATUS_NAMES[ResourceStatus(row["status"])],
            "locks": Locks(*[_lock(row, mode, tx.now, runs) for mode in Mode]),
        }
    )


class _Attributes:
    """A mapping whose keys are read as attributes, as `locks` reads a row."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self.__dict__.update(row)


def _lock(row: Mapping[str, Any], mode: Mode, now: datetime, runs: Mapping[int, str]) -> LockView | None:
    lock = locks.held(_Attributes(row), mode, now)
    if lock is None:
        return None
    if lock.run_id is None:
        return LockView(Holder("person", lock.person or ""), lock.until, lock.fence)
    return LockView(Holder("run", runs.get(lock.run_id, "")), lock.until, lock.fence)


def listed(
    tx: Transaction, queue_id: int, condition: Condition, who: Initiator, limit: int, cursor: str | None
) -> Page[ResourceView]:
    """Those that fit and that `who` may see, newest first. Another's read lock hides from robots.

    A page that finds little in `LOOKED_AT` rows is short, even empty; its cursor leads on from there.
    """
    found: list[Any] = []
    at = int(cursor, 16) if cursor is not None else None
    sources = _of_queue(tx, queue_id, condition)
    for _ in range(LOOKED_AT // CHUNK):
        rows = newest(tx, sources, CHUNK, at)
        found += [row for row in rows if _is_seen(tx, row, condition, who)]
        at = rows[-1].id if len(rows) == CHUNK else None
        if at is None or len(found) > limit:
            break
    shown = found[:limit]
    at = shown[-1].id if len(found) > limit else at
    return Page(many(tx, [dict(row._mapping) for row in shown]), format(at, "x") if at is not None else None)


def _of_queue(tx: Transaction, queue_id: int, condition: Condition) -> list[tuple[Any, Any]]:
    """The queries for what a queue has and, where that can fit, for what it had."""
    wanted = [status.value for status in condition.statuses]

    def query(table: Table) -> Any:
        columns = [table.c[column.name] for column in search.COLUMNS]
        mine = (table.c.tenant_id == tx.tenant_id, table.c.queue_id == queue_id, table.c.status.in_(wanted))
        return select(*columns).where(*mine)

    live = live_of(Resource)
    if not set(DONE) & condition.statuses:
        return [(query(live), live.c.id)]
    past = query(PAST_RESOURCES).where(PAST_RESOURCES.c.deleted_at.is_(None))
    return [(query(live), live.c.id), (past, PAST_RESOURCES.c.id)]


def _is_seen(tx: Transaction, row: Any, condition: Condition, who: Initiator) -> bool:
    return condition.holds(search.plain(row)) and locks.hindrance(row, (Mode.READ,), who, tx.now) is None


def queue_view(tx: Transaction, row: Any) -> QueueView:
    counted = (
        select(Resource.status, func.count())
        .where(Resource.queue_id == row.id, Resource.tenant_id == tx.tenant_id)
        .group_by(Resource.status)
    )
    counts = {STATUS_NAMES[ResourceStatus(status)]: count for status, count in tx.execute(counted)}
    shown = {
        name: getattr(row, name) for name in QueueView.__dataclass_fields__ if name not in ("id", "counts")
    }
    return QueueView(
        id=row.public_id, counts={name: counts.get(name, 0) for name in STATUS_NAMES.values()}, **shown
    )


def queues_listed(tx: Transaction, name: str | None, limit: int, cursor: str | None) -> Page[QueueView]:
    query = select(*Queue.__table__.columns).where(Queue.tenant_id == tx.tenant_id)
    if name is not None:
        query = query.where(Queue.name == name)
    return page(tx, query, Queue.id, limit, cursor, lambda rows: [queue_view(tx, row) for row in rows])


def history(tx: Transaction, resource_id: int, limit: int, cursor: str | None = None) -> Page[ResourceEvent]:
    """What happened to it, oldest first: each refused write adds a line, so it may be long."""

    def of(table: Table) -> tuple[Any, Any]:
        mine = (table.c.tenant_id == tx.tenant_id, table.c.resource_id == resource_id)
        return select(*table.columns).where(*mine), table.c.id

    sources = [of(live_of(ResourceHistory)), of(PAST_RESOURCE_HISTORY)]
    rows = oldest(tx, sources, limit + 1, int(cursor, 16) if cursor is not None else 0)
    more, rows = len(rows) > limit, rows[:limit]
    runs = runs_of.job_guids(tx, {row.run_id for row in rows} - {None})
    events = [
        ResourceEvent(
            at=row.at,
            event=row.event,
            actor=row.actor,
            run=runs.get(row.run_id) if row.run_id is not None else None,
            status=STATUS_NAMES[ResourceStatus(row.status)],
            attempt=row.attempt,
            fence=row.fence,
            detail=row.detail,
        )
        for row in rows
    ]
    return Page(events, format(rows[-1].id, "x") if more else None)
