"""What a drill has to say: one finding a figure, as a JSON line and as a row of a table for people."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Finding:
    """`value` is what was seen, `target` what is promised of it; `is_met` None: nothing is."""

    drill: str
    figure: str
    value: Any
    target: str = ""
    is_met: bool | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def as_line(self) -> str:
        shown = {"drill": self.drill, "figure": self.figure, "value": self.value}
        if self.is_met is not None:
            shown |= {"target": self.target, "met": self.is_met}
        return json.dumps(shown | self.more, ensure_ascii=False, default=str)


def none_of(drill: str, figure: str, breaches: Sequence[str]) -> Finding:
    """A count that has to be nought; the first breaches are named."""
    return Finding(drill, figure, len(breaches), "0", not breaches, {"first": list(breaches[:5])})


def at_most(drill: str, figure: str, value: float, limit: float) -> Finding:
    return Finding(drill, figure, round(value, 2), f"at most {limit:g}", value <= limit)


def at_least(drill: str, figure: str, value: int, least: int) -> Finding:
    return Finding(drill, figure, value, f"at least {least}", value >= least)


def seconds_of(drill: str, figure: str, values: Sequence[float], limit: float) -> Finding:
    """The longest of some times must be within `limit`; the median and how many are beyond are told, too."""
    ordered = sorted(values)
    if not ordered:
        return Finding(drill, figure, None, f"at most {limit:g} s", False, {"n": 0})
    beyond = sum(value > limit for value in ordered)
    more = {"median": round(ordered[len(ordered) // 2], 2), "n": len(ordered), "beyond": beyond}
    return Finding(drill, figure, round(ordered[-1], 2), f"at most {limit:g} s", ordered[-1] <= limit, more)


def table(findings: Sequence[Finding]) -> Table:
    shown = Table("drill", "figure", "seen", "promised", "", title="What the drill has seen")
    for finding in findings:
        verdict = "" if finding.is_met is None else ("kept" if finding.is_met else "BROKEN")
        shown.add_row(finding.drill, finding.figure, str(finding.value), finding.target, verdict)
    return shown


class Progress:
    """Says on standard error how far a drill is, every few seconds."""

    EVERY = 5.0

    def __init__(self, drill: str, planned: int) -> None:
        self._drill, self._planned = drill, planned
        self._began = self._told = time.monotonic()

    def tell(self, done: int, **counts: object) -> None:
        now = time.monotonic()
        if now - self._told < self.EVERY and done < self._planned:
            return
        self._told = now
        rest = "".join(f", {name} {count}" for name, count in counts.items())
        print(
            f"{self._drill}: {done} of {self._planned} after {now - self._began:.0f} s{rest}",
            file=sys.stderr,
            flush=True,
        )
