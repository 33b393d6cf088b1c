"""Firing what is due by time, and what has waited for earlier jobs to end. Called by the master."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update

from orchestrator.database import database_time
from orchestrator.transaction import Transaction
from orchestrator.triggers import firing, lifecycle, overlap, timing
from orchestrator.triggers.model import Firing, FiringState, Missed, Trigger

TRIGGERS_AT_ONCE = 200
KEPT = timedelta(days=90)


def due(tx: Transaction) -> list[int]:
    """The ids of triggers of every tenant that are due by the database's clock, the longest due first."""
    query = select(Trigger.id).where(Trigger.next_due <= database_time())
    return list(tx.execute(query.order_by(Trigger.next_due).limit(TRIGGERS_AT_ONCE)).scalars())


def fire_due(tx: Transaction, trigger_id: int) -> Counter[str]:
    """Fire the due times of a trigger that have passed, as its policies say; what came of each, counted.

    The row is locked and looked at again: whoever comes second finds a later due time, and does nothing.
    """
    counts: Counter[str] = Counter()
    trigger = firing.lock(tx, trigger_id)
    if trigger is None or not trigger.is_enabled or trigger.next_due is None or trigger.next_due > tx.now:
        return counts
    own = firing.of_trigger(tx, trigger)
    rule = lifecycle.rule_of(own, trigger)
    plan = timing.plan(rule, trigger.next_due, tx.now, Missed(trigger.on_missed), trigger.missed_limit)
    if plan.last_missed is not None:
        key = firing.time_key(plan.last_missed)
        firing.skip(tx, trigger, key, plan.last_missed, "missed", plan.missed)
        counts["missed"] += plan.missed
    stands_for = plan.stands_for
    for at in plan.fire:
        state = firing.fire(tx, trigger, firing.time_key(at), at, due_count=stands_for)
        counts[state.value if state else "known"] += 1
        stands_for = 1
    mine = update(Trigger).where(Trigger.id == trigger.id, Trigger.tenant_id == trigger.tenant_id)
    tx.execute(mine.where(Trigger.next_due == trigger.next_due).values(next_due=plan.next_due))
    return counts


def waiting(tx: Transaction) -> list[int]:
    """The ids of triggers that have a firing that waits."""
    query = select(Firing.trigger_id).where(Firing.state == FiringState.WAITING.value).distinct()
    return list(tx.execute(query.limit(TRIGGERS_AT_ONCE)).scalars())


def fire_waiting(tx: Transaction, trigger_id: int) -> Counter[str]:
    """Let the firing that waits longest create its jobs, if those of the one before it have ended."""
    counts: Counter[str] = Counter()
    trigger = firing.lock(tx, trigger_id)
    if trigger is None:
        return counts
    own = firing.of_trigger(tx, trigger)
    first = overlap.first_waiting(own, trigger)
    if first is None or overlap.has_live_jobs(own, trigger):
        return counts
    values = firing.created(own, trigger, first.job_count, first.arguments)
    guarded = update(Firing).where(Firing.id == first.id, Firing.tenant_id == trigger.tenant_id)
    own.execute(guarded.where(Firing.state == FiringState.WAITING.value).values(**values))
    counts[values["state"]] += 1
    return counts


def forget(tx: Transaction, limit: int) -> int:
    """Delete up to `limit` firings older than 90 days whose jobs need not be watched; how many."""
    old = select(Firing.id).where(Firing.created_at < tx.now - KEPT, _is_settled())
    ids = list(tx.execute(old.limit(limit)).scalars())
    if ids:
        tx.execute(delete(Firing).where(Firing.id.in_(ids)))
    return len(ids)


def _is_settled() -> Any:
    return Firing.state.not_in([FiringState.NOTED.value, FiringState.WAITING.value])
