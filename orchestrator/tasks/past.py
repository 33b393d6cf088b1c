"""Tasks by their id, wherever they are: in line and at work, or ended and in history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from orchestrator.past import carry, live_of
from orchestrator.tasks.model import PAST_TASKS, Task
from orchestrator.transaction import Transaction


def find(tx: Transaction, guid: str, *, lock: bool = False) -> Any:
    """The task's row, live or in history, where a task has ended and only a retry changes it; or None."""
    query = select(*Task.__table__.columns).where(Task.tenant_id == tx.tenant_id, Task.guid == guid)
    live = tx.execute(query.with_for_update() if lock else query).one_or_none()
    if live is not None:
        return live
    past = PAST_TASKS.c
    ended = select(*PAST_TASKS.columns).where(past.tenant_id == tx.tenant_id, past.guid == guid)
    return tx.execute(ended).one_or_none() or tx.execute(query).one_or_none()


def recall(tx: Transaction, row: Any) -> None:
    """Bring a task that `find` has found back from history, if it is there."""
    if hasattr(row, "moved_at"):
        carry(tx, PAST_TASKS, live_of(Task), [row.id])
