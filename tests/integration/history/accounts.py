"""Where every row is: live, in history, in both, or nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Engine, Table, select

from orchestrator.history import moving
from orchestrator.history.tables import ALL, Moving
from orchestrator.transaction import Transaction

Run = Callable[[Callable[[Transaction], Any]], Any]
PAIRS: list[tuple[Table, Table]] = [
    pair
    for table in ALL
    for pair in [(table.live, table.past), *[(one.live, one.past) for one in table.companions]]
]


def move_all(
    run: Run,
    tables: tuple[Moving, ...] = ALL,
    age: timedelta = timedelta(seconds=-1),
    batch: int = moving.BATCH,
) -> dict[str, int]:
    """Move what ended longer ago than `age`; the counts by name of table."""
    moved: Counter[str] = Counter()
    before: datetime = run(lambda tx: tx.now) - age
    for table in tables:
        for lane in run(table.lanes):
            last: int | None = 0
            while last is not None:
                walked = {"moving": table, "lane": lane, "last": last, "before": before, "batch": batch}
                done = run(partial(moving.step, **walked))
                moved[table.name] += done.moved
                last = done.last
    return {name: count for name, count in moved.items() if count}


def numbers(engine: Engine) -> dict[str, tuple[set[int], set[int]]]:
    """The ids of live and past rows by the live table's name, each pair as one moment has it."""
    found = {}
    # Only to read: in SQLite, who would write has to wait for a writer that stands still.
    with engine.connect().execution_options(read_only=True) as connection:
        for live, past in PAIRS:
            both = select(live.c.id, live.c.id.is_(None)).union_all(select(past.c.id, past.c.id.is_not(None)))
            rows = connection.execute(both).all()
            found[live.name] = ({row[0] for row in rows if not row[1]}, {row[0] for row in rows if row[1]})
    return found


def breaches(before: dict[str, tuple[set[int], set[int]]], engine: Engine) -> list[str]:
    """What is missing of the rows that there were, and what is in both places, a sentence each."""
    wrong = []
    for name, (live, past) in numbers(engine).items():
        missing = (before[name][0] | before[name][1]) - live - past
        wrong += [f"{name}: {len(missing)} rows missing"] if missing else []
        wrong += [f"{name}: {len(live & past)} rows in both places"] if live & past else []
    return wrong
