"""Kind `cron`: five fields of local time in the trigger's time zone. Settings: `expression`.

Where clocks change, as Debian's cron does it: an expression that names its minutes and hours fires once for
each local time that it names, at the first of two where the time comes twice, and at the end of the gap where
it does not come at all. One whose minutes or hours begin with `*` goes by elapsed time: at each moment whose
local time fits.

cronsim reads the expression and says which dates it means. It does not walk: its steps of an hour miss the
half hour of the change on Lord Howe Island.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from orchestrator.transaction import Transaction
from orchestrator.triggers.kind import Checked, Kind, Settings, read

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
HORIZON_DAYS = 366 * 50  # an expression without a due time for so long has none


def _expression(text: str) -> str:
    if len(text.split()) != 5:
        raise ValueError("it must have five fields: minute, hour, day of month, month, day of week")
    try:
        Fields.of(text)
    except (CronSimError, ValueError, IndexError) as error:
        raise ValueError(f"it cannot be read as cron: {error}".rstrip(": ")) from None
    return " ".join(text.split())


@dataclass(frozen=True)
class Fields:
    """The expression, read."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    goes_by_elapsed_time: bool
    dates: CronSim

    @classmethod
    @lru_cache(maxsize=1000)
    def of(cls, expression: str) -> Fields:
        parsed = CronSim(expression, datetime(2000, 1, 1))  # noqa: DTZ001  (only its fields are used)
        minutes, hours = expression.split()[:2]
        elapsed = minutes.startswith("*") or hours.startswith("*")
        return cls(tuple(sorted(parsed.minutes)), tuple(sorted(parsed.hours)), elapsed, parsed)

    def has(self, day: date) -> bool:
        return day.month in self.dates.months and self.dates.match_day(day)

    def times(self, day: date) -> Iterator[datetime]:
        """The local times of a date, without a zone."""
        if self.has(day):
            for hour in self.hours:
                for minute in self.minutes:
                    yield datetime.combine(day, time(hour, minute))


class CronSettings(Settings):
    expression: Annotated[str, Field(min_length=9, max_length=200), AfterValidator(_expression)]


def check(tx: Transaction, given: Mapping[str, Any]) -> Checked:
    return Checked(read(CronSettings, given).model_dump(mode="json"))


def dues(settings: Mapping[str, Any], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Window by window of a day: most have one offset all through, the few others are looked at closely."""
    fields = Fields.of(settings["expression"])
    begin, idle = after.astimezone(UTC), 0
    while idle < HORIZON_DAYS:
        end = begin + DAY
        offsets = {(begin - DAY).astimezone(zone).utcoffset(), begin.astimezone(zone).utcoffset()}
        offsets.add(end.astimezone(zone).utcoffset())
        idle += 1
        plain = len(offsets) == 1
        found = _plain(fields, zone, begin, end) if plain else _around_a_change(fields, zone, begin, end)
        for due in found:
            idle = 0
            yield due
        begin = end


def _plain(fields: Fields, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """Due times in (begin, end] where local time is that far from UTC all the time."""
    offset = begin.astimezone(zone).utcoffset() or timedelta()
    first, last = ((moment + offset).replace(tzinfo=None) for moment in (begin, end))
    for day in _dates(first.date(), last.date()):
        if not fields.has(day):
            continue
        for local in fields.times(day):
            if first < local <= last:
                yield local.replace(tzinfo=UTC) - offset


def _around_a_change(fields: Fields, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    days = _dates(begin.astimezone(zone).date() - DAY, end.astimezone(zone).date() + DAY)
    moments = _each_moment if fields.goes_by_elapsed_time else _one_moment
    found = {at for day in days for local in fields.times(day) for at in moments(local, zone)}
    return sorted(at for at in found if begin < at <= end)


def _each_moment(local: datetime, zone: ZoneInfo) -> set[datetime]:
    """The moments that have this local time: one, two, or none."""
    folds = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return {at for at in folds if at.astimezone(zone).replace(tzinfo=None) == local}


def _one_moment(local: datetime, zone: ZoneInfo) -> set[datetime]:
    """The first moment that has this local time or, where none has, the end of the gap that it is in."""
    while not (found := _each_moment(local, zone)):
        local += MINUTE
    return {min(found)}


def _dates(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


CRON = Kind("cron", check, dues)
