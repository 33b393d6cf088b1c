"""Masters that take turns, sleep and have wrong clocks fire each due time once, whenever clocks change.

The short form looks at four days around a change of each zone. BOTSWAIN_LONG_DRILLS=1 goes through five years
of twenty zones, minute by minute.
"""

from __future__ import annotations

import os
import random
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from orchestrator.database import DatabaseClock
from orchestrator.triggers import timing
from orchestrator.triggers.by_cron import CRON
from orchestrator.triggers.model import Missed
from tests.unit.triggers.scanned import BEGIN, END, ZONES, changes, due_minutes

LONG = os.environ.get("BOTSWAIN_LONG_DRILLS") == "1"
EXPRESSIONS = (
    "30 2 * * *",
    "*/15 * * * *",
    "0 * * * *",
    "15 0-3 * * *",
    "5,35 1-2 * * 6,0",
    "0 0 1 * 1",
)
HOUR = timedelta(hours=1)


class World:
    """The database, whose time is the only true one, and the clock of the node that looks at it."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        self.offset = timedelta()

    def execute(self, _: Any) -> World:
        return self

    def scalar_one(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at + self.offset).timestamp()

    def time(self) -> float:
        return (self.at + self.offset).timestamp()


class Node:
    """A scheduler whose clock is wrong by up to an hour, with the product's view of the database's time."""

    def __init__(self, world: World, offset: timedelta) -> None:
        self._world, self._offset = world, offset
        self._clock = DatabaseClock(engine=None)  # type: ignore[arg-type]

    def now(self) -> datetime:
        self._world.offset = self._offset
        return self._clock.now(self._world)  # type: ignore[arg-type]


def fired_by_masters(
    expression: str, zone: ZoneInfo, begin: datetime, end: datetime, chance: random.Random, world: World
) -> tuple[list[datetime], datetime]:
    """What masters fired that look at any moment, one or the other, and until when they looked."""
    world.at = begin
    nodes = [Node(world, offset) for offset in (-HOUR, timedelta(), HOUR)]
    rule = timing.Rule(CRON, {"expression": expression}, zone)
    due, fired = timing.next_due(rule, begin), []
    while world.at < end:
        pause = chance.choice((1.0, 60.0, 900.0, 900.0, 5 * 3600.0))
        world.at += timedelta(seconds=chance.uniform(0.5, pause))
        now = chance.choice(nodes).now()
        while due is not None and due <= now:
            plan = timing.plan(rule, due, now, Missed.ALL, 100)
            assert plan.missed == 0
            assert due in plan.fire and all(at <= world.at for at in plan.fire)
            fired += plan.fire
            due = plan.next_due
    return fired, world.at


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("zone", ZONES)
def test_no_due_time_is_missed_or_doubled(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(zone)
    world = World(BEGIN)
    monkeypatch.setattr("orchestrator.database.time", world)
    begin, end = BEGIN, END
    if not LONG:
        begin = chance.choice(changes(zone) or [BEGIN]) - 2 * 24 * HOUR
        end = begin + 4 * 24 * HOUR
    for expression in EXPRESSIONS:
        fired, until = fired_by_masters(expression, ZoneInfo(zone), begin, end, chance, world)
        last_minute = until.replace(second=0, microsecond=0)
        expected = list(due_minutes(expression, ZoneInfo(zone), begin, last_minute))
        assert fired == expected, expression
        assert all(one < other for one, other in pairwise(fired))
