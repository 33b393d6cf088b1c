"""Cron in local time against a scan of every minute: on days of change above all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from orchestrator.triggers.by_cron import dues
from tests.unit.triggers.scanned import BEGIN, END, ZONES, changes, due_minutes

# A scan takes a while, and to shrink takes hundreds of them.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)


def between(expression: str, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    coming = dues({"expression": expression}, zone, begin)
    return list(takewhile(lambda due: due <= end, coming))


def local(expression: str, zone: str, begin: datetime, count: int) -> list[str]:
    found = islice(dues({"expression": expression}, ZoneInfo(zone), begin), count)
    return [due.astimezone(ZoneInfo(zone)).isoformat() for due in found]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    spans = st.tuples(numbers, numbers).map(lambda pair: f"{min(pair)}-{max(pair)}")
    # Not 3-3/2: cronsim takes that for 3/2.
    wide = st.tuples(st.integers(low, high - 1), st.integers(1, high)).map(
        lambda pair: f"{pair[0]}-{min(pair[0] + pair[1], high)}"
    )
    steps = st.tuples(st.one_of(st.just("*"), wide), st.integers(1, high)).map(lambda p: f"{p[0]}/{p[1]}")
    terms = st.lists(st.one_of(numbers.map(str), spans), min_size=1, max_size=3).map(",".join)
    return st.one_of(terms, terms, st.just("*"), steps)


days = st.one_of(st.just("*"), st.just("*"), field(1, 31))
weekdays = st.one_of(st.just("*"), st.just("*"), field(0, 7))
early = st.one_of(field(0, 4), field(0, 23))  # where clocks change
expressions = st.tuples(field(0, 59), early, days, st.just("*"), weekdays).map(" ".join)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment up to a day and a half before a change of its clocks."""
    zone = draw(st.sampled_from(ZONES))
    moments = changes(zone) or [datetime(2028, 2, 28, 20, tzinfo=UTC)]
    before = timedelta(minutes=draw(st.integers(0, 36 * 60)))
    return zone, draw(st.sampled_from(moments)) - before


@settings(max_examples=60, deadline=None, phases=UNSHRUNK)
@given(windows(), expressions)
def test_around_each_change_every_due_minute_is_found_and_no_other(
    window: tuple[str, datetime], expression: str
) -> None:
    zone, begin = ZoneInfo(window[0]), window[1]
    end = begin + timedelta(hours=60)
    expected = list(due_minutes(expression, zone, begin, end))
    assert between(expression, zone, begin, end) == expected


@settings(max_examples=40, deadline=None, phases=UNSHRUNK)
@given(windows(), expressions, st.integers(0, 59_999_999))
def test_the_next_due_time_does_not_depend_on_where_the_search_began(
    window: tuple[str, datetime], expression: str, microseconds: int
) -> None:
    zone, begin = ZoneInfo(window[0]), window[1] + timedelta(hours=12)
    expected = next(due_minutes(expression, zone, begin, begin + timedelta(hours=40)), None)
    asked = begin + timedelta(microseconds=microseconds)
    assert between(expression, zone, asked, begin + timedelta(hours=40))[:1] == (
        [expected] if expected else []
    )


def test_the_model_sees_the_changes_of_twenty_zones() -> None:
    assert len(set(ZONES)) == 20
    assert {zone: len(changes(zone)) for zone in ZONES if len(changes(zone)) < 8} == {"Asia/Kolkata": 0}
    assert timedelta(days=5 * 365 + 1) == END - BEGIN


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00"]),
        ("30 2,3 28-31 * *", ["2026-03-28T02:30:00+01:00", "2026-03-28T03:30:00+01:00"]),
        ("0 * * * *", ["2026-03-28T01:00:00+01:00", "2026-03-28T02:00:00+01:00"]),
    ],
)
def test_a_local_time_that_does_not_come_is_due_at_the_end_of_the_gap(
    expression: str, expected: list[str]
) -> None:
    begin = datetime(2026, 3, 27, 23, 30, tzinfo=UTC)
    assert local(expression, "Europe/Madrid", begin, 2) == expected


def test_a_local_time_that_comes_twice_is_due_once_and_an_hourly_one_each_hour() -> None:
    begin = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)
    daily = ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    assert local("30 2 * * *", "Europe/Madrid", begin, 2) == daily
    hourly = ["2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
    assert local("30 * * * *", "Europe/Madrid", begin, 3) == hourly


def test_within_the_repeated_hour_nothing_is_due_that_was_due_in_the_first() -> None:
    begin = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 for the second time
    assert local("30 2 * * *", "Europe/Madrid", begin, 1) == ["2026-10-26T02:30:00+01:00"]
    assert local("30 2,3 * * *", "Europe/Madrid", begin, 1) == ["2026-10-25T03:30:00+01:00"]


def test_no_minute_is_lost_where_clocks_change_by_half_an_hour() -> None:
    begin = datetime(2026, 4, 4, 12, tzinfo=UTC)
    found = [text[11:16] for text in local("*/10 2-3 * * *", "Australia/Lord_Howe", begin, 4)]
    assert found == ["02:00", "02:10", "02:20", "02:30"]


def test_a_day_that_a_country_left_out_is_due_when_the_next_begins() -> None:
    begin = datetime(2011, 12, 28, 12, tzinfo=UTC)
    found = local("0 9 * * *", "Pacific/Apia", begin, 4)
    assert [text[:16] for text in found[1:]] == ["2011-12-29T09:00", "2011-12-31T00:00", "2011-12-31T09:00"]


def test_rare_days_are_found() -> None:
    begin = datetime(2097, 1, 1, tzinfo=UTC)
    assert local("0 0 29 2 *", "UTC", begin, 1) == ["2104-02-29T00:00:00+00:00"]
    assert local("0 0 LW * *", "UTC", datetime(2026, 5, 1, tzinfo=UTC), 1) == ["2026-05-29T00:00:00+00:00"]
    assert local("0 0 31 2 0#5", "UTC", datetime(2800, 1, 1, tzinfo=UTC), 1) == ["2804-02-29T00:00:00+00:00"]
    assert local("0 0 29 2 */7", "UTC", begin, 1) == ["2128-02-29T00:00:00+00:00"]
