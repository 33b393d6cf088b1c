"""Kind `interval`: each so many seconds of elapsed time, whatever clocks are set to meanwhile.

Settings: `seconds`, and `starts_at`, the first due time, from which the others are counted (default: one
interval after the trigger is created or given new settings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field

from orchestrator.transaction import Transaction
from orchestrator.triggers.kind import LATEST, Checked, Kind, Moment, Settings, read

LONGEST = 366 * 24 * 3600


class IntervalSettings(Settings):
    seconds: Annotated[int, Field(ge=1, le=LONGEST)]
    starts_at: Moment | None = None


def check(tx: Transaction, given: Mapping[str, Any]) -> Checked:
    settings = read(IntervalSettings, given)
    first = settings.starts_at or tx.now.replace(microsecond=0) + timedelta(seconds=settings.seconds)
    return Checked(settings.model_copy(update={"starts_at": first}).model_dump(mode="json"))


def dues(settings: Mapping[str, Any], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    rule = read(IntervalSettings, settings)
    step = timedelta(seconds=rule.seconds)
    due = rule.starts_at or after
    if due <= after:
        due += step * ((after - due) // step + 1)
    while due < LATEST:
        yield due
        due += step


INTERVAL = Kind("interval", check, dues)
