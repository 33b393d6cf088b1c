"""Figures: what was measured, always beside a base of the same run, and the ratio of the two.

A machine's speed changes from minute to minute, so a number alone says little. The subject and its base are
measured in turn (A B A B …), the ratio is taken round by round, and its median is what counts.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Measure = Callable[[], float]


@dataclass(frozen=True)
class Target:
    """What the figure is to reach: a bound of the ratio, or of the value itself. Never asserted."""

    ratio_at_least: float | None = None
    value_below: float | None = None


@dataclass(frozen=True)
class Figure:
    """`values` and `base_values` are of the same rounds, in the same unit."""

    benchmark: str
    name: str
    unit: str
    values: Sequence[float]
    base: str
    base_values: Sequence[float]
    target: Target | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        return [value / base for value, base in zip(self.values, self.base_values, strict=True)]

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.target is None:
            return None
        if self.target.ratio_at_least is not None:
            return statistics.median(self.ratios) >= self.target.ratio_at_least
        assert self.target.value_below is not None
        return statistics.median(self.values) < self.target.value_below

    def as_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "benchmark": self.benchmark,
            "figure": self.name,
            "unit": self.unit,
            **_spread("value", self.values),
            "base": self.base,
            **_spread("base_value", self.base_values),
            **_spread("ratio", self.ratios),
            "n": len(self.values),
        }
        if self.target is not None:
            goals = {name: goal for name, goal in vars(self.target).items() if goal is not None}
            shown |= {"target": goals, "met": self.is_met}
        return shown | dict(self.more)

    def as_line(self) -> str:
        return json.dumps(self.as_dict(), ensure_ascii=False)


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    return {
        name: _short(statistics.median(values)),
        f"{name}_min": _short(min(values)),
        f"{name}_max": _short(max(values)),
    }


def _short(number: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{number:.4g}")


def in_turn(measures: Mapping[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Measure each in each round, every second round in the opposite order: none is always the first."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        names = list(measures) if number % 2 == 0 else list(measures)[::-1]
        for name in names:
            found[name].append(measures[name]())
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of `values` do not exceed (the nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
