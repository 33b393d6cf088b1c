"""What people see of triggers: their rules, their firings, and when they are due next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from orchestrator.calendars.model import Calendar
from orchestrator.insights.jobs import names
from orchestrator.insights.paging import Page, page
from orchestrator.processes.model import Process
from orchestrator.robots.model import Robot, RobotGroup
from orchestrator.transaction import Transaction
from orchestrator.triggers import lifecycle, timing
from orchestrator.triggers.model import Firing, Trigger


@dataclass(frozen=True)
class TriggerView:
    """`next_due` is null while it is disabled, and for kinds that wait for events."""

    id: str
    name: str
    kind: str
    settings: Any
    time_zone: str
    calendar: str | None
    on_missed: str
    missed_limit: int
    on_overlap: str
    enabled: bool
    next_due: datetime | None
    last_fired_at: datetime | None
    process: str
    version: int | None
    robot: str | None
    group: str | None
    arguments: Any
    priority: int
    max_attempts: int
    on_lost: str
    max_run_seconds: int | None
    created_by: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class FiringView:
    """`state` is noted (about to be carried out), fired, waiting (for the jobs of an earlier firing), skipped
    or failed, and `reason` why. `due_count` is the number of due times that it stands for, where some were
    missed."""

    id: str
    due_key: str
    due_at: datetime
    state: str
    reason: str | None
    detail: str | None
    due_count: int
    job_count: int
    arguments: Any
    jobs: list[str]
    created_at: datetime
    fired_at: datetime | None


@dataclass(frozen=True)
class DueTime:
    """A due time in UTC and in the trigger's zone, or, with `left_out`, the first one of a day without work
    and why that day is left out."""

    at: datetime
    local: str
    left_out: str | None


@dataclass(frozen=True)
class Trial:
    """What comes next. `firing` is there if it was asked to fire now."""

    items: list[DueTime]
    firing: FiringView | None


def listed(
    tx: Transaction, kind: str | None, enabled: bool | None, limit: int, cursor: str | None
) -> Page[TriggerView]:
    query = select(*Trigger.__table__.columns).where(Trigger.tenant_id == tx.tenant_id)
    if kind is not None:
        query = query.where(Trigger.kind == kind)
    if enabled is not None:
        query = query.where(Trigger.is_enabled.is_(enabled))
    return page(tx, query, Trigger.id, limit, cursor, lambda rows: _views(tx, rows))


def named(tx: Transaction, key: str) -> TriggerView:
    return _views(tx, [lifecycle.existing(tx, key)])[0]


def firings(tx: Transaction, key: str, state: str | None, limit: int, cursor: str | None) -> Page[FiringView]:
    trigger = lifecycle.existing(tx, key)
    query = _firings(tx, trigger)
    if state is not None:
        query = query.where(Firing.state == state)
    return page(tx, query, Firing.id, limit, cursor, lambda rows: [_firing(row) for row in rows])


def firing(tx: Transaction, key: str, due_key: str) -> FiringView:
    query = _firings(tx, lifecycle.existing(tx, key)).where(Firing.due_key == due_key)
    return _firing(tx.execute(query).one())


def coming(tx: Transaction, key: str, count: int) -> list[DueTime]:
    """The next `count` due times as if it were enabled now, and the days between that are left out."""
    trigger = lifecycle.existing(tx, key)
    rule = lifecycle.rule_of(tx, trigger)
    found, left = [], count
    for due in timing.upcoming(rule, tx.now):
        local = due.at.astimezone(rule.zone).isoformat()
        found.append(DueTime(due.at, local, due.why_off))
        left -= due.why_off is None
        if not left or len(found) >= 20 * count:
            break
    return found


def _firings(tx: Transaction, trigger: Any) -> Any:
    query = select(*Firing.__table__.columns)
    return query.where(Firing.trigger_id == trigger.id, Firing.tenant_id == tx.tenant_id)


def _views(tx: Transaction, rows: Sequence[Any]) -> list[TriggerView]:
    targets = [row.target.partition(":") for row in rows]
    robots = names(tx, Robot, {int(key) for kind, _, key in targets if kind == "robot"})
    groups = names(tx, RobotGroup, {int(key) for kind, _, key in targets if kind == "group"})
    processes = names(tx, Process, {row.process_id for row in rows})
    calendars = names(tx, Calendar, {row.calendar_id for row in rows} - {None})
    return [_view(row, processes, robots, groups, calendars) for row in rows]


def _view(
    row: Any,
    processes: dict[int, str],
    robots: dict[int, str],
    groups: dict[int, str],
    calendars: dict[int, str],
) -> TriggerView:
    kind, _, key = row.target.partition(":")
    return TriggerView(
        id=row.public_id,
        name=row.name,
        kind=row.kind,
        settings=row.settings,
        time_zone=row.time_zone,
        calendar=calendars.get(row.calendar_id),
        on_missed=row.on_missed,
        missed_limit=row.missed_limit,
        on_overlap=row.on_overlap,
        enabled=row.is_enabled,
        next_due=row.next_due,
        last_fired_at=row.last_fired_at,
        process=processes[row.process_id],
        version=row.version,
        robot=robots.get(int(key)) if kind == "robot" else None,
        group=groups.get(int(key)) if kind == "group" else None,
        arguments=row.arguments,
        priority=row.priority,
        max_attempts=row.max_attempts,
        on_lost=row.on_lost,
        max_run_seconds=row.max_run_seconds,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _firing(row: Any) -> FiringView:
    return FiringView(
        id=str(row.id),
        due_key=row.due_key,
        due_at=row.due_at,
        state=row.state,
        reason=row.reason,
        detail=row.detail,
        due_count=row.due_count,
        job_count=row.job_count,
        arguments=row.arguments,
        jobs=row.jobs,
        created_at=row.created_at,
        fired_at=row.fired_at,
    )
