"""What people see of calendars: their settings, and the days without work that come of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from orchestrator.calendars import lifecycle
from orchestrator.calendars.model import Calendar
from orchestrator.calendars.working_days import WorkingDays
from orchestrator.insights.paging import Page, page
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class CalendarView:
    """`weekdays` with work: 1 (Monday) to 7. Own dates prevail over holidays, `working_days` over all."""

    id: str
    name: str
    country: str | None
    subdivision: str | None
    weekdays: list[int]
    days_off: dict[str, str]
    working_days: list[str]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class DayOff:
    """A day without work, and why."""

    date: str
    weekday: int
    why: str


@dataclass(frozen=True)
class DaysOff:
    items: list[DayOff]


def listed(tx: Transaction, limit: int, cursor: str | None) -> Page[CalendarView]:
    query = select(*Calendar.__table__.columns).where(Calendar.tenant_id == tx.tenant_id)
    return page(tx, query, Calendar.id, limit, cursor, lambda rows: [view(row) for row in rows])


def named(tx: Transaction, key: str) -> CalendarView:
    return view(lifecycle.existing(tx, key))


def days_off(tx: Transaction, key: str, year: int) -> DaysOff:
    """The days of a year without work, other than the weekdays that never have any."""
    days = WorkingDays.of(lifecycle.existing(tx, key))
    first = date(year, 1, 1)
    found = []
    for number in range((date(year, 12, 31) - first).days + 1):
        day = first + timedelta(days=number)
        why = days.why_off(day)
        if why is not None and (day.isoweekday() in days.weekdays or day.isoformat() in days.days_off):
            found.append(DayOff(day.isoformat(), day.isoweekday(), why))
    return DaysOff(found)


def view(row: Any) -> CalendarView:
    return CalendarView(
        id=row.public_id,
        name=row.name,
        country=row.country,
        subdivision=row.subdivision,
        weekdays=row.weekdays,
        days_off=row.days_off,
        working_days=row.working_days,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
