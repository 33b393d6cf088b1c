"""Windows of time: days of the week, hours by the clock on the wall, and the time zone of that clock.

`mon-fri 20:00-06:00 Europe/Madrid`, several with semicolons between them, `always` or `never`. Hours that
span midnight belong to the day on which they begin. The wall clock decides, so the changes to and from
daylight saving time need no rule of their own: an hour that is left out has no time in the window, and one
that comes twice is in it twice, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXAMPLE = "mon-fri 20:00-06:00 Europe/Madrid"
_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_MIDNIGHT = 24 * 60
_ONE_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
# A day of the week comes again after seven days, or fourteen where a change of clocks left its hours out.
_HORIZON_DAYS = 16


class NotAWindow(ValueError):  # noqa: N818
    """The text is no window; the message says what is wrong with it."""


@dataclass(frozen=True)
class Span:
    """`opens` and `closes` are minutes of the day; it closes on the next day where it opens later."""

    days: frozenset[int]
    opens: int
    closes: int
    zone: ZoneInfo

    def is_open(self, moment: datetime) -> bool:
        wall = moment.astimezone(self.zone)
        today = wall.weekday() in self.days
        minute = wall.hour * 60 + wall.minute
        if self.opens < self.closes:
            return today and self.opens <= minute < self.closes
        began_yesterday = (wall.date() - _ONE_DAY).weekday() in self.days
        return (today and minute >= self.opens) or (began_yesterday and minute < self.closes)

    def turns(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """Moments from `begin` to `end` at which it may open or close: between two of them it does not."""
        yield from _clock_changes(self.zone, begin, end)
        day, last = (moment.astimezone(self.zone).date() for moment in (begin, end))
        while day <= last:
            for minute in (0, self.opens, self.closes):
                wall = datetime.combine(day, time()) + minute * _MINUTE
                for fold in (0, 1):  # a time that comes twice
                    yield wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
            day += _ONE_DAY


@dataclass(frozen=True)
class Window:
    spans: tuple[Span, ...]
    is_always: bool = False

    @classmethod
    def read(cls, text: str) -> Window:
        """Raises `NotAWindow`."""
        words = text.strip().lower()
        if words in ("always", "never"):
            return cls((), words == "always")
        parts = [part.split() for part in text.split(";") if part.strip()]
        return cls(tuple(_span(part) for part in parts or [[]]))

    def is_open(self, moment: datetime) -> bool:
        """Whether the moment, aware, lies in the window."""
        return self.is_always or any(span.is_open(moment) for span in self.spans)

    def next_turn(self, moment: datetime) -> datetime | None:
        """When it closes next or, closed, opens; None where it never does."""
        was_open, begin = self.is_open(moment), moment.astimezone(UTC)
        for _ in range(_HORIZON_DAYS):
            end = begin + _ONE_DAY
            turns = {turn for span in self.spans for turn in span.turns(begin, end) if begin < turn <= end}
            for turn in sorted(turns):
                if self.is_open(turn) != was_open:
                    return turn
            begin = end
        return None


def _span(words: list[str]) -> Span:
    if len(words) != 3:
        raise NotAWindow(f"say days, hours and time zone, as in «{EXAMPLE}», or always, or never")
    days, hours, zone = words
    opens, closes = _hours(hours)
    return Span(_days(days.lower()), opens, closes, _zone(zone))


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise NotAWindow(f"{part!r} is no day: say mon, tue … sun, a range like mon-fri, or daily")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0
        found |= {(begin + step) % 7 for step in range(length + 1)}
    return frozenset(found)


def _hours(text: str) -> tuple[int, int]:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise NotAWindow(f"{text!r} are no hours: say when it opens and closes, as in 20:00-06:00")
    one, two, three, four = (int(digits) for digits in match.groups())
    opens, closes = _minute(one, two), _minute(three, four)
    if opens in (closes, _MIDNIGHT):
        raise NotAWindow(f"{text!r} has no length; for the whole day say 00:00-24:00")
    return opens, closes


def _minute(hour: int, minute: int) -> int:
    if minute > 59 or hour * 60 + minute > _MIDNIGHT:
        raise NotAWindow(f"{hour:02}:{minute:02} is no time of day: it goes from 00:00 to 24:00")
    return hour * 60 + minute


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all, or a folder of names
        raise NotAWindow(f"{name!r} is no time zone: say UTC, or a name like Europe/Madrid") from None


def _clock_changes(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """When the zone's clocks change between these, which are a day apart: at most once."""
    first = begin.astimezone(UTC).replace(second=0, microsecond=0)
    low, high = 0, (end - first) // _MINUTE + 1
    before = first.astimezone(zone).utcoffset()
    if (first + high * _MINUTE).astimezone(zone).utcoffset() == before:
        return
    while high - low > 1:
        middle = (low + high) // 2
        same = (first + middle * _MINUTE).astimezone(zone).utcoffset() == before
        low, high = (middle, high) if same else (low, middle)
    yield first + high * _MINUTE
