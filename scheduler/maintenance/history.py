"""Move what is finished to history, and delete what history has kept for long enough, inside the window.

A slice at a time, so that the other duties are not kept waiting: a slice ends after a second, and between
two batches where the window closes. A pass over all tables that has ended begins anew after ten minutes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from orchestrator.history import moving, retention
from orchestrator.history.tables import ALL, Moving
from scheduler.term import Term

SLICE_SECONDS = 1.0
PAUSE_SECONDS = 600.0
Batch = tuple[str, int]  # what was done to how many rows


@dataclass
class Pass:
    """A walk over all that moves, batch by batch, and what it has done so far."""

    term: Term
    batches: Iterator[Batch]
    counts: Counter[str] = field(default_factory=Counter)
    rests_until: float = float("-inf")  # on the monotonic clock: between two passes


# At most one, which outlives the call: a duty is a function of its term. Nothing else in a process looks at
# it, as a process has one master, on one thread; and what a term that is over left here is not gone on with.
_under_way: list[Pass] = []


def run(term: Term) -> dict[str, int]:
    """The counts are those of the pass so far, as `jobs_moved` or `jobs_deleted`."""
    if not _is_open(term):
        _under_way.clear()
        return {}
    current = _current(term)
    if time.monotonic() < current.rests_until:
        return {}
    until = time.monotonic() + SLICE_SECONDS
    while _go_on(current) and time.monotonic() < until and _is_open(term):
        pass
    return dict(current.counts)


def _is_open(term: Term) -> bool:
    """By the database's clock, as a node's own may be wrong."""
    parts = term.parts
    return parts.config.maintenance_window.is_open(parts.transactions.clock.now())


def _current(term: Term) -> Pass:
    """A new term, or a new night, begins a pass anew: what has moved already is not met again."""
    if not _under_way or _under_way[0].term is not term:
        _under_way[:] = [Pass(term, batches(term))]
    return _under_way[0]


def _go_on(current: Pass) -> bool:
    """Do the next batch; False where the pass has come to its end."""
    try:
        what, count = next(current.batches)
    except StopIteration:
        rests_until = time.monotonic() + PAUSE_SECONDS
        _under_way[:] = [Pass(current.term, batches(current.term), rests_until=rests_until)]
        return False
    except BaseException:
        _under_way.clear()  # what has raised goes no further
        raise
    if count:
        current.counts[what] += count
        current.term.progress(current.counts.total())
    return True


def batches(term: Term) -> Iterator[Batch]:
    """The batches of a pass, each one transaction of the term, done when it is asked for."""
    now, config = term.parts.transactions.clock.now(), term.parts.config
    for table in ALL:
        yield from _move(term, table, now - timedelta(days=config.move_after_days(table.name)))
        kept = config.keep_days(table.name)
        if kept:
            yield from _forget(term, table, now - timedelta(days=kept))


def _move(term: Term, table: Moving, before: datetime) -> Iterator[Batch]:
    for lane in term.run(table.lanes):
        last: int | None = 0
        while last is not None:
            done = term.run(partial(moving.step, moving=table, lane=lane, last=last, before=before))
            last = done.last
            yield f"{table.name}_moved", done.moved


def _forget(term: Term, table: Moving, before: datetime) -> Iterator[Batch]:
    while count := term.run(lambda tx: retention.forget(tx, table, before)):
        yield f"{table.name}_deleted", count
