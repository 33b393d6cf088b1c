"""Forget Idempotency-Keys after a day: a client that retries later than that has given up."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select

from orchestrator.tasks.model import IdempotencyKey
from orchestrator.transaction import Transaction
from scheduler.term import Term

KEPT = timedelta(hours=24)
BATCH = 500


def run(term: Term) -> dict[str, int]:
    def forget(tx: Transaction) -> int:
        old = select(IdempotencyKey.id).where(IdempotencyKey.created_at < tx.now - KEPT).limit(BATCH)
        ids = list(tx.execute(old).scalars())
        if ids:
            tx.execute(delete(IdempotencyKey).where(IdempotencyKey.id.in_(ids)))
        return len(ids)

    total = 0
    while (count := term.run(forget)) > 0:
        total += count
    return {"expired": total} if total else {}
