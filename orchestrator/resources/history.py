"""The history of resources: one line for each change, and for each write that was refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert

from orchestrator.resources.locks import Initiator
from orchestrator.resources.model import ResourceHistory
from orchestrator.transaction import Transaction

_INSERT = insert(ResourceHistory)


def line(
    tx: Transaction, event: str, row: Any, who: Initiator | None = None, **detail: Any
) -> dict[str, Any]:
    """What happened to the resource whose row (or values) as it is *after* the event is given."""
    return {
        "tenant_id": row["tenant_id"],
        "resource_id": row["id"],
        "at": tx.now,
        "event": event,
        "actor": str(tx.actor)[:200],
        "run_id": who.run_id if who is not None else None,
        "status": row["status"],
        "attempt": row["attempt"],
        "fence": row["fence"],
        "detail": detail,
    }


def write(tx: Transaction, lines: Sequence[dict[str, Any]]) -> None:
    if lines:
        tx.execute(_INSERT, list(lines))
