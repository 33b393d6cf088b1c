"""REST v1: calendars of days without work."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Annotated

from flask import Response
from pydantic import AfterValidator, Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Input, Integer, Line, Name
from orchestrator.api.queries import Number, Pages, Query
from orchestrator.api.routes import Routes
from orchestrator.calendars import lifecycle as verbs
from orchestrator.calendars.lifecycle import MONDAY_TO_FRIDAY, NewCalendar
from orchestrator.insights import calendars as seen
from orchestrator.insights.calendars import CalendarView, DaysOff
from orchestrator.insights.paging import Page
from orchestrator.transaction import Transaction
from orchestrator.triggers import lifecycle as triggers

routes = Routes("calendars")
DATES = 2000


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is not a date like 2026-12-24") from None


def _once_each(values: list[int]) -> list[int]:
    if len(set(values)) != len(values):
        raise ValueError("it names a day more than once")
    return sorted(values)


Date = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_date)]
Code = Annotated[str, Field(min_length=1, max_length=10)]
Weekdays = Annotated[
    list[Annotated[Integer, Field(ge=1, le=7)]],
    Field(min_length=1, max_length=7),
    AfterValidator(_once_each),
]
DaysWithName = Annotated[dict[Date, Annotated[Line, Field(max_length=200)]], Field(max_length=DATES)]
Days = Annotated[list[Date], Field(max_length=DATES)]


class CalendarIn(Input):
    """`weekdays` are those with work, 1 (Monday) to 7; `days_off` says of each own date what it is;
    `working_days` have work whatever else is said of them."""

    name: Name
    country: Code | None = None
    subdivision: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    weekdays: Weekdays = Field(default_factory=lambda: list(MONDAY_TO_FRIDAY))
    days_off: DaysWithName = Field(default_factory=dict)
    working_days: Days = Field(default_factory=list)


class CalendarChange(Input):
    """What is to change; what is left out stays."""

    name: Name = ""
    country: Code | None = None
    subdivision: Annotated[str, Field(min_length=1, max_length=20)] | None = None
    weekdays: Weekdays = Field(default_factory=list)
    days_off: DaysWithName = Field(default_factory=dict)
    working_days: Days = Field(default_factory=list)


class Year(Query):
    year: Annotated[Number, Field(ge=1971, le=2998)] | None = None


@routes.post("/calendars", Policy.OPERATOR, body=CalendarIn, answer=CalendarView, status=201)
def create_calendar(call: Call, body: CalendarIn) -> Response:
    """Create a calendar."""
    new = NewCalendar(**dict(body))
    return call.write(lambda tx: seen.named(tx, verbs.create(tx, new)))


@routes.get("/calendars", Policy.VIEWER, query=Pages, answer=Page[CalendarView])
def list_calendars(call: Call, query: Pages) -> Response:
    """List calendars, newest first."""
    return call.read(lambda tx: seen.listed(tx, query.limit, query.cursor))


@routes.get("/calendars/<calendar>", Policy.VIEWER, answer=CalendarView)
def get_calendar(call: Call, calendar: str) -> Response:
    """Get a calendar by its id or name."""
    return call.read(lambda tx: seen.named(tx, calendar))


@routes.get("/calendars/<calendar>/days-off", Policy.VIEWER, query=Year, answer=DaysOff)
def list_days_off(call: Call, calendar: str, query: Year) -> Response:
    """List the days of a year without work, and why. Weekdays that never have work are not named."""
    return call.read(lambda tx: seen.days_off(tx, calendar, query.year or tx.now.year))


@routes.patch("/calendars/<calendar>", Policy.OPERATOR, body=CalendarChange, answer=CalendarView)
def change_calendar(call: Call, calendar: str, body: CalendarChange) -> Response:
    """Change a calendar. It holds at once, also for what is due and has not fired yet."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}

    def work(tx: Transaction) -> CalendarView:
        return seen.named(tx, verbs.change(tx, calendar, partial(triggers.calendar_changed, tx), **changes))

    return call.write(work)


@routes.delete("/calendars/<calendar>", Policy.OPERATOR, status=204)
def delete_calendar(call: Call, calendar: str) -> Response:
    """Delete a calendar that no trigger uses."""
    return call.write(lambda tx: verbs.remove(tx, calendar, partial(triggers.user_of_calendar, tx)))
