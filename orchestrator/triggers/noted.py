"""Firings that were put down when their event took place, and are carried out right after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from orchestrator.transaction import Transaction
from orchestrator.triggers import firing
from orchestrator.triggers.model import Firing, FiringState

AT_ONCE = 50
TRIGGERS_AT_ONCE = 200


def note(
    tx: Transaction, trigger: Any, due_key: str, arguments: Mapping[str, Any], refusal: str | None = None
) -> None:
    """Put a firing down, without its trigger's lock; `trigger` is a row with its id and tenant.

    With a `refusal`, the sentence that says why, it is put down as left out.
    """
    state = FiringState.SKIPPED if refusal else FiringState.NOTED
    row = {
        "tenant_id": trigger.tenant_id,
        "trigger_id": trigger.id,
        "due_key": due_key,
        "due_at": tx.now,
        "state": state.value,
        "is_open": refusal is None,
        "reason": "chain_too_long" if refusal else None,
        "detail": refusal,
        "due_count": 1,
        "job_count": 1,
        "arguments": dict(arguments),
        "jobs": [],
        "created_at": tx.now,
    }
    tx.execute(insert(Firing), row)


def triggers(tx: Transaction) -> list[int]:
    """The ids of triggers, of all tenants, with firings that are to be carried out."""
    query = select(Firing.trigger_id).where(Firing.state == FiringState.NOTED.value).distinct()
    return list(tx.execute(query.limit(TRIGGERS_AT_ONCE)).scalars())


def carry_out(tx: Transaction, trigger_id: int) -> Counter[str]:
    """Do for the trigger's noted firings, in order, what `firing.fire` does; what came of them, counted."""
    counts: Counter[str] = Counter()
    trigger = firing.lock(tx, trigger_id)
    if trigger is None:
        return counts
    own = firing.of_trigger(tx, trigger)
    query = select(*Firing.__table__.columns).where(
        Firing.trigger_id == trigger.id,
        Firing.tenant_id == own.tenant_id,
        Firing.state == FiringState.NOTED.value,
    )
    for noted in own.execute(query.order_by(Firing.id).limit(AT_ONCE)).all():
        values = _outcome(own, trigger, noted)
        mine = update(Firing).where(Firing.id == noted.id, Firing.tenant_id == own.tenant_id)
        own.execute(mine.where(Firing.state == FiringState.NOTED.value).values(**values))
        counts[values["state"]] += 1
    return counts


def _outcome(tx: Transaction, trigger: Any, noted: Any) -> dict[str, Any]:
    if not trigger.is_enabled:
        return {"state": FiringState.SKIPPED.value, "reason": "disabled", "is_open": False}
    found = firing.outcome(tx, trigger, noted.due_at, noted.job_count, noted.arguments)
    return {"is_open": False} | found
