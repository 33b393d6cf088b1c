"""Kind `once`: at one moment, and never again. Settings: `at`, a time with its offset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from orchestrator.transaction import Transaction
from orchestrator.triggers.kind import Checked, Kind, Moment, Settings, read


class OnceSettings(Settings):
    at: Moment


def check(tx: Transaction, given: Mapping[str, Any]) -> Checked:
    return Checked(read(OnceSettings, given).model_dump(mode="json"))


def dues(settings: Mapping[str, Any], zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    at = read(OnceSettings, settings).at
    if at > after:
        yield at


ONCE = Kind("once", check, dues)
