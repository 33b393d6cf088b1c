"""Which days have work: weekdays, public holidays by the `holidays` library, and own dates, which prevail."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OWN_DAY = "a day off of this calendar"


@dataclass(frozen=True)
class WorkingDays:
    """`weekdays` with work are numbered 1 (Monday) to 7; own dates are texts like 2026-12-24."""

    weekdays: frozenset[int]
    days_off: Mapping[str, str]
    working_days: frozenset[str]
    country: str | None = None
    subdivision: str | None = None

    @classmethod
    def of(cls, calendar: Any) -> WorkingDays:
        return cls(
            frozenset(calendar.weekdays),
            calendar.days_off,
            frozenset(calendar.working_days),
            calendar.country,
            calendar.subdivision,
        )

    def why_off(self, day: date) -> str | None:
        """Why there is no work on that day; None where there is. Own dates prevail, those with work first."""
        text = day.isoformat()
        if text in self.working_days:
            return None
        if text in self.days_off:
            return self.days_off[text] or OWN_DAY
        if day.isoweekday() not in self.weekdays:
            return WEEKDAYS[day.isoweekday() - 1]
        if self.country is None:
            return None
        return public_holidays(self.country, self.subdivision, day.year).get(day)


@lru_cache(maxsize=500)
def public_holidays(country: str, subdivision: str | None, year: int) -> dict[date, str]:
    """The names of a country's public holidays in a year, by date; none in years that are not known."""
    import holidays  # here: nothing else needs it, and starting is to be quick

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some are known for some years only
        return dict(holidays.country_holidays(country, subdiv=subdivision, years=year))


@lru_cache(maxsize=1)
def countries() -> dict[str, list[str]]:
    """The countries whose holidays are known, each with its subdivisions."""
    import holidays

    return {
        code: list(parts) for code, parts in holidays.list_supported_countries(include_aliases=False).items()
    }
