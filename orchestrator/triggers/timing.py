"""When a trigger of time is due, and which of its due times that have passed are fired."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.calendars.working_days import WorkingDays
from orchestrator.triggers.kind import Kind
from orchestrator.triggers.model import Missed

INSTANT = timedelta(microseconds=1)
LATE = timedelta(seconds=60)  # fired later than this, a due time counts as missed
PASSED_AT_ONCE = 10_000
LONGEST_PAUSE = 2000  # days without work in a row, after which a trigger is never due


@dataclass(frozen=True)
class Rule:
    """When a trigger is due: all of it but the trigger's row."""

    kind: Kind
    settings: Mapping[str, Any]
    zone: ZoneInfo
    days: WorkingDays | None = None


@dataclass(frozen=True)
class Due:
    """A due time, or the first of a day without work: then `why_off` says why it is left out."""

    at: datetime
    why_off: str | None = None


def upcoming(rule: Rule, after: datetime) -> Iterator[Due]:
    """Due times after `after`, in order, and each day without work that has any."""
    if rule.kind.dues is None:
        return
    pause = 0
    while pause < LONGEST_PAUSE:
        for at in rule.kind.dues(rule.settings, rule.zone, after):
            day = at.astimezone(rule.zone).date()
            why_off = rule.days.why_off(day) if rule.days is not None else None
            yield Due(at, why_off)
            if why_off is not None:
                midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=rule.zone)
                after, pause = max(midnight.astimezone(UTC) - INSTANT, at), pause + 1
                break
            pause = 0
        else:
            return


def due_times(rule: Rule, after: datetime) -> Iterator[datetime]:
    return (due.at for due in upcoming(rule, after) if due.why_off is None)


def next_due(rule: Rule, after: datetime) -> datetime | None:
    return next(due_times(rule, after), None)


@dataclass
class Plan:
    """What to do about due times that have passed. `stands_for` counts, for the first one to be fired, how
    many due times it stands for; `missed` are left out, `last_missed` being the last of them."""

    fire: list[datetime] = field(default_factory=list)
    stands_for: int = 1
    missed: int = 0
    last_missed: datetime | None = None
    next_due: datetime | None = None


def plan(rule: Rule, first: datetime, now: datetime, on_missed: Missed, limit: int) -> Plan:
    """`first` is the earliest due time that has not been dealt with. Of more than 10,000 that have passed
    at once, the oldest 10,000 are left out, and the rest is for the next time."""
    coming = due_times(rule, first - INSTANT)
    passed: deque[datetime] = deque()
    for at in islice(coming, PASSED_AT_ONCE):
        if at > now:
            return _planned(passed, at, now, on_missed, limit)
        passed.append(at)
    following = next(coming, None)
    if following is not None and following <= now:
        return Plan(missed=len(passed), last_missed=passed[-1], next_due=following)
    return _planned(passed, following, now, on_missed, limit)


def _planned(
    passed: deque[datetime], following: datetime | None, now: datetime, on_missed: Missed, limit: int
) -> Plan:
    missed = [at for at in passed if at < now - LATE]
    timely = [at for at in passed if at >= now - LATE]
    made = Plan(timely, next_due=following)
    if on_missed is Missed.ONCE and missed:
        made.fire = timely or missed[-1:]
        made.stands_for = 1 + len(missed) - (0 if timely else 1)
        return made
    kept = missed[-limit:] if on_missed is Missed.ALL else []
    left_out = missed[: len(missed) - len(kept)]
    made.fire = kept + timely
    made.missed, made.last_missed = len(left_out), left_out[-1] if left_out else None
    return made
