"""Intervals, days without work, and what becomes of due times that were missed: without a database."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchestrator
import scheduler
from orchestrator.calendars.working_days import WorkingDays
from orchestrator.triggers import timing
from orchestrator.triggers.by_cron import CRON
from orchestrator.triggers.by_interval import INTERVAL
from orchestrator.triggers.by_once import ONCE
from orchestrator.triggers.model import Missed

MADRID = ZoneInfo("Europe/Madrid")
START = datetime(2026, 1, 1, tzinfo=UTC)
OFFICE = WorkingDays(frozenset(range(1, 6)), {}, frozenset())


def every(seconds: int, starts_at: datetime = START, days: WorkingDays | None = None) -> timing.Rule:
    given = {"seconds": seconds, "starts_at": starts_at.isoformat()}
    return timing.Rule(INTERVAL, given, MADRID, days)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**6), st.integers(-(10**9), 10**9), st.integers(0, 999_999))
def test_intervals_are_elapsed_time_counted_from_their_start(seconds: int, after: int, micro: int) -> None:
    moment = START + timedelta(seconds=after, microseconds=micro)
    found = list(islice(timing.due_times(every(seconds), moment), 3))
    since = [(due - START).total_seconds() for due in found]
    assert all(elapsed >= 0 and elapsed % seconds == 0 for elapsed in since)
    assert found[0] > moment and (found[0] - timedelta(seconds=seconds) <= moment or found[0] == START)
    assert [later - earlier for earlier, later in pairwise(since)] == [seconds] * 2


def test_once_is_due_once() -> None:
    rule = timing.Rule(ONCE, {"at": "2026-03-01T09:30:00+01:00"}, MADRID)
    due = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
    assert list(timing.due_times(rule, START)) == [due]
    assert timing.next_due(rule, due) is None


def test_days_without_work_are_left_out_and_told_once_each() -> None:
    days = WorkingDays(
        frozenset(range(1, 6)), {"2026-12-24": "closed"}, frozenset({"2026-12-26"}), "ES", "MD"
    )
    rule = timing.Rule(CRON, {"expression": "0 9,17 * * *"}, MADRID, days)
    found = list(islice(timing.upcoming(rule, datetime(2026, 12, 23, 12, tzinfo=UTC)), 7))
    shown = [(due.at.astimezone(MADRID).strftime("%d %H"), due.why_off) for due in found]
    assert shown[:2] == [("23 17", None), ("24 09", "closed")]
    assert shown[2][0] == "25 09" and shown[2][1] is not None
    assert shown[3:] == [("26 09", None), ("26 17", None), ("27 09", "Sunday"), ("28 09", None)]


def test_five_years_of_work_days_are_those_of_a_plain_calendar() -> None:
    rule = timing.Rule(
        CRON,
        {"expression": "0 7 * * *"},
        MADRID,
        WorkingDays(frozenset(range(1, 6)), {}, frozenset(), "ES", "MD"),
    )
    until = datetime(2031, 1, 1, tzinfo=UTC)
    coming = takewhile(lambda due: due < until, timing.due_times(rule, START))
    found = [due.astimezone(MADRID) for due in coming]
    off = holidays.country_holidays("ES", subdiv="MD", years=range(2026, 2031))
    every_day = [date(2026, 1, 1) + timedelta(days=number) for number in range(5 * 365 + 1)]
    assert [due.date() for due in found] == [day for day in every_day if day.weekday() < 5 and day not in off]
    assert {due.hour for due in found} == {7}


def test_a_trigger_whose_days_have_no_work_is_never_due() -> None:
    rule = timing.Rule(CRON, {"expression": "0 9 * * 0"}, MADRID, OFFICE)
    assert timing.next_due(rule, START) is None


@pytest.mark.parametrize(
    ("policy", "fired", "stands_for", "missed"),
    [
        (Missed.SKIP, [0], 1, 9),
        (Missed.ONCE, [0], 10, 0),
        (Missed.ALL, [-3, -2, -1, 0], 1, 6),
    ],
)
def test_missed_due_times_by_policy(policy: Missed, fired: list[int], stands_for: int, missed: int) -> None:
    """Ten are due, each hour one, the last of them at this very moment."""
    now = START + timedelta(hours=9)
    plan = timing.plan(every(3600), START, now, policy, 3)
    assert plan.fire == [now + timedelta(hours=number) for number in fired]
    assert (plan.stands_for, plan.missed, plan.next_due) == (stands_for, missed, now + timedelta(hours=1))


def test_a_long_absence_is_dealt_with_in_parts() -> None:
    now = START + timedelta(seconds=timing.PASSED_AT_ONCE + 500)
    first = timing.plan(every(1), START, now, Missed.ONCE, 1)
    assert (first.fire, first.missed) == ([], timing.PASSED_AT_ONCE)
    assert first.next_due == START + timedelta(seconds=timing.PASSED_AT_ONCE)
    rest = timing.plan(every(1), first.next_due, now, Missed.ONCE, 1)
    assert len(rest.fire) == 61 and rest.stands_for == 1 + 440
    assert rest.next_due == now + timedelta(seconds=1)


CLOCKS = {
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
    ("datetime", "today"),
    ("time", "time"),
}


def test_no_trigger_looks_at_the_clock_of_its_node() -> None:
    roots = [Path(str(orchestrator.__file__)).parent / noun for noun in ("triggers", "calendars")]
    files = [file for root in roots for file in root.glob("*.py")]
    files.append(Path(str(scheduler.__file__)).parent / "maintenance/triggers.py")
    assert len(files) > 10
    found = [
        f"{file.name}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in CLOCKS
    ]
    assert found == []
