"""The plain model of triggers of time: look at every minute, one after the other, and say whether it is due.

It shares nothing with the product but the time zones of the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)

# Half an hour and two hours of change; changes at midnight, at noon of UTC, for Ramadan; none at all.
ZONES = (
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/Los_Angeles",
    "America/New_York",
    "America/Nuuk",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Jerusalem",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Europe/Chisinau",
    "Europe/London",
    "Europe/Madrid",
    "Pacific/Auckland",
    "Pacific/Chatham",
)


def _numbers(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        end = int(last or (high if step else first))
        found |= set(range(int(first), end + 1, int(step or 1)))
    return frozenset(found)


@dataclass(frozen=True)
class Expression:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_by_elapsed_time: bool
    needs_both_days: bool

    @classmethod
    def read(cls, text: str) -> Expression:
        minute, hour, day, month, weekday = text.split()
        return cls(
            _numbers(minute, 0, 59),
            _numbers(hour, 0, 23),
            _numbers(day, 1, 31),
            _numbers(month, 1, 12),
            frozenset(number % 7 for number in _numbers(weekday, 0, 7)),
            minute[0] == "*" or hour[0] == "*",
            day[0] == "*" or weekday[0] == "*",
        )

    def fits(self, local: datetime) -> bool:
        return local.minute in self.minutes and local.hour in self.hours and self._has(local.date())

    def _has(self, day: date) -> bool:
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        is_its_day = by_date and by_weekday if self.needs_both_days else by_date or by_weekday
        return is_its_day and day.month in self.months


def due_minutes(
    text: str,
    zone: ZoneInfo,
    begin: datetime,
    end: datetime,
    is_off: Callable[[date], bool] = lambda day: False,
) -> Iterator[datetime]:
    """The due minutes in (begin, end]; both are whole minutes."""
    expression = Expression.read(text)
    at, before = begin, begin.astimezone(zone).replace(tzinfo=None)
    while at < end:
        at += MINUTE
        zoned = at.astimezone(zone)
        local = zoned.replace(tzinfo=None)
        if expression.is_by_elapsed_time:
            due = expression.fits(local)
        elif local - before > MINUTE:
            due = any(expression.fits(skipped) for skipped in _minutes(before, local))
        else:
            due = zoned.fold == 0 and expression.fits(local)
        if due and not is_off(local.date()):
            yield at
        before = local


def _minutes(after: datetime, until: datetime) -> Iterator[datetime]:
    while after < until:
        after += MINUTE
        yield after


@cache
def changes(name: str) -> list[datetime]:
    """The whole hours (UTC) after which clocks of the zone change, in the five years."""
    zone, found, at = ZoneInfo(name), [], BEGIN
    while at < END:
        following = at + timedelta(hours=1)
        if at.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            found.append(at)
        at = following
    return found
