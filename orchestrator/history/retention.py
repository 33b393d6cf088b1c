"""Deleting from history what has been kept for long enough."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from orchestrator.history.moving import BATCH
from orchestrator.history.tables import Moving
from orchestrator.transaction import Transaction


def forget(tx: Transaction, moving: Moving, before: datetime, batch: int = BATCH) -> int:
    """Delete up to `batch` past rows that ended before `before`, with all that belongs to them."""
    past = moving.past
    ended = past.c[moving.ended.name]
    old = select(past.c.id).where(ended < before).order_by(ended, past.c.id).limit(batch)
    ids = list(tx.execute(old.with_for_update(skip_locked=True)).scalars())
    if not ids:
        return 0
    for companion in moving.companions:
        for table in (companion.past, companion.live):  # a late line may have stayed behind
            tx.execute(delete(table).where(table.c[companion.key].in_(ids)))
    tx.execute(delete(past).where(past.c.id.in_(ids)))
    return len(ids)
