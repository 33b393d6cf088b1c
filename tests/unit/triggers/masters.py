"""Masters that take turns, sleep and have wrong clocks, in simulated time, beside the plain model."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

from orchestrator.database import DatabaseClock
from orchestrator.triggers import timing
from orchestrator.triggers.by_cron import CRON
from orchestrator.triggers.model import Missed
from tests.unit.triggers.scanned import BEGIN, END, changes, due_minutes

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


def compared(zone: str, is_short: bool) -> tuple[int, list[str]]:
    """How many due times there were in a zone, and a sentence for each that was missed or doubled.

    Five years of it, or, in short, four days around a change of its clocks.
    """
    chance = random.Random(zone)  # the same in every run
    begin, end = BEGIN, END
    if is_short:
        begin = chance.choice(changes(zone) or [BEGIN]) - 2 * 24 * HOUR
        end = begin + 4 * 24 * HOUR
    count, wrong, world = 0, [], World(begin)
    with patch("orchestrator.database.time", world):
        for expression in EXPRESSIONS:
            fired, until = fired_by_masters(expression, ZoneInfo(zone), begin, end, chance, world)
            last_minute = until.replace(second=0, microsecond=0)
            expected = Counter(due_minutes(expression, ZoneInfo(zone), begin, last_minute))
            count += expected.total()
            missed, more = expected - Counter(fired), Counter(fired) - expected
            wrong += [f"{zone} {expression}: {at} was missed" for at in missed]
            wrong += [f"{zone} {expression}: {at} was fired, and was not due" for at in more]
            if fired != sorted(fired):
                wrong.append(f"{zone} {expression}: not in order")
    return count, wrong
