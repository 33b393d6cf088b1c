"""Moving finished rows to their past tables, a batch in one transaction: a row is in one of the two, whoever
is killed at whatever moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select

from orchestrator.history.tables import Moving
from orchestrator.past import carry, carry_those_of
from orchestrator.transaction import Transaction

BATCH = 500


@dataclass(frozen=True)
class Step:
    """`moved` rows have moved; the lane goes on after `last`, or is at its end (None)."""

    moved: int
    last: int | None


def step(
    tx: Transaction,
    moving: Moving,
    lane: ColumnElement[bool],
    last: int,
    before: datetime,
    batch: int = BATCH,
) -> Step:
    """Look at the next rows of a lane and move those that ended before `before`. Safe to run twice."""
    table = moving.live
    look = (
        select(table.c.id, moving.born.label("born"), moving.ended.label("ended"))
        .where(lane, moving.is_finished, table.c.id > last)
        .order_by(table.c.id)
        .limit(batch)
    )
    rows = tx.execute(look).all()
    old = [row.id for row in rows if row.ended is not None and row.ended < before]
    moved = move(tx, moving, old, before) if old else 0
    if len(rows) < batch or rows[-1].born >= before:
        return Step(moved, None)
    return Step(moved, rows[-1].id)


def move(tx: Transaction, moving: Moving, ids: Sequence[int], before: datetime) -> int:
    """Move those of `ids` that still are finished, with what belongs to them; return how many."""
    tx.step = "move"
    table = moving.live
    # Locked until the commit: what has changed since the look stays, and what is chosen cannot change.
    standing = (
        select(table.c.id)
        .where(table.c.id.in_(ids), moving.is_finished, moving.ended < before)
        .order_by(table.c.id)
        .with_for_update(skip_locked=True)
    )
    chosen = list(tx.execute(standing).scalars())
    if not chosen:
        return 0
    for companion in moving.companions:
        carry_those_of(tx, companion.live, companion.past, companion.key, chosen)
    for entries, key in moving.dropped:
        tx.execute(delete(entries).where(entries.c[key].in_(chosen)))
    carry(tx, table, moving.past, chosen)
    return len(chosen)
