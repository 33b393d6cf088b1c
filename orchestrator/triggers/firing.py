"""A firing: its row and its jobs in one transaction, once for each due time or event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select, update

from orchestrator.calendars import lifecycle as calendars
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, Invalid, NotFound
from orchestrator.jobs import lifecycle as jobs
from orchestrator.transaction import Actor, Transaction
from orchestrator.triggers import orders, overlap
from orchestrator.triggers.model import Firing, FiringState, Overlap, Trigger

WAITING_LIMIT = 100


def lock(tx: Transaction, trigger_id: int) -> Any | None:
    """The trigger's row of whatever tenant, locked until the transaction's end: firings of one trigger
    come one after the other. None where it has been deleted."""
    query = select(*Trigger.__table__.columns).where(Trigger.id == trigger_id)
    return tx.execute(query.with_for_update()).one_or_none()


def fire(
    tx: Transaction,
    trigger: Any,
    due_key: str,
    due_at: datetime,
    *,
    due_count: int = 1,
    job_count: int = 1,
    arguments: Mapping[str, Any] | None = None,
    by_hand: bool = False,
) -> FiringState | None:
    """Fire for the event named `due_key` (unique for the trigger), unless that has been done: then None.

    `trigger` is a row from `lock`. `arguments` are added to the trigger's for these jobs. On a day without
    work nothing but a firing by hand creates jobs; with jobs of an earlier firing not ended, the policy says.
    A firing that creates none is recorded as well, with its reason.
    """
    own = of_trigger(tx, trigger)
    if _is_known(own, trigger, due_key):
        return None
    row = {
        "tenant_id": own.tenant_id,
        "trigger_id": trigger.id,
        "due_key": due_key,
        "due_at": due_at,
        "is_open": False,
        "reason": None,
        "detail": None,
        "due_count": due_count,
        "job_count": job_count,
        "arguments": dict(arguments) if arguments else None,
        "jobs": [],
        "created_at": own.now,
        "fired_at": None,
    }
    row |= outcome(own, trigger, due_at, job_count, arguments, by_hand)
    own.execute(insert(Firing), row)
    return FiringState(row["state"])


def outcome(
    tx: Transaction,
    trigger: Any,
    due_at: datetime,
    job_count: int,
    arguments: Mapping[str, Any] | None,
    by_hand: bool = False,
) -> dict[str, Any]:
    """Create the jobs, unless something stands in the way; what the firing's row says of it."""
    return _obstacle(tx, trigger, due_at, by_hand) or created(tx, trigger, job_count, arguments)


def close(tx: Transaction, firing_ids: Sequence[int]) -> None:
    """All jobs of these firings are known to have ended."""
    if firing_ids:
        mine = update(Firing).where(Firing.id.in_(firing_ids), Firing.tenant_id == tx.tenant_id)
        tx.execute(mine.values(is_open=False))


def of_trigger(tx: Transaction, trigger: Any) -> Transaction:
    """The same transaction on behalf of the trigger and its tenant."""
    return replace(tx, tenant_id=trigger.tenant_id, actor=Actor("trigger", trigger.name, trigger.id))


def skip(
    tx: Transaction, trigger: Any, due_key: str, due_at: datetime, reason: str, due_count: int = 1
) -> None:
    """Record due times that are left out, as one."""
    own = of_trigger(tx, trigger)
    if _is_known(own, trigger, due_key):
        return
    row = {
        "tenant_id": own.tenant_id,
        "trigger_id": trigger.id,
        "due_key": due_key,
        "due_at": due_at,
        "state": FiringState.SKIPPED.value,
        "is_open": False,
        "reason": reason,
        "due_count": due_count,
        "job_count": 0,
        "jobs": [],
        "created_at": own.now,
    }
    own.execute(insert(Firing), row)


def time_key(due: datetime) -> str:
    """The key of a due time: the moment itself."""
    return due.astimezone(UTC).isoformat().replace("+00:00", "Z")


def created(tx: Transaction, trigger: Any, job_count: int, arguments: Any) -> dict[str, Any]:
    """Create the jobs; what the firing's row says of it. An order that cannot be met is a failed firing."""
    try:
        order = orders.order_of(tx, trigger, arguments)
        made = jobs.create(tx, [replace(order, guid=new_guid()) for _ in range(job_count)])
    except (Invalid, NotFound, Conflict) as refused:
        return {
            "state": FiringState.FAILED.value,
            "is_open": False,
            "reason": "refused",
            "detail": refused.detail,
        }
    mine = update(Trigger).where(Trigger.id == trigger.id, Trigger.tenant_id == tx.tenant_id)
    tx.execute(mine.values(last_fired_at=tx.now))
    return {
        "state": FiringState.FIRED.value,
        "is_open": True,
        "jobs": [job.values["guid"] for job in made],
        "fired_at": tx.now,
    }


def _obstacle(tx: Transaction, trigger: Any, due_at: datetime, by_hand: bool) -> dict[str, Any] | None:
    """Why no jobs are created now, as the firing's row says it."""
    days = None if by_hand else calendars.working_days_of(tx, trigger.calendar_id)
    why_off = days.why_off(due_at.astimezone(ZoneInfo(trigger.time_zone)).date()) if days else None
    if why_off is not None:
        return {"state": FiringState.SKIPPED.value, "reason": "day_off", "detail": why_off}
    policy = Overlap(trigger.on_overlap)
    if policy is Overlap.ALLOW or not overlap.is_busy(tx, trigger):
        return None
    if policy is Overlap.SKIP:
        return {"state": FiringState.SKIPPED.value, "reason": "overlap"}
    if overlap.waiting(tx, trigger) >= WAITING_LIMIT:
        return {"state": FiringState.SKIPPED.value, "reason": "too_many_wait"}
    return {"state": FiringState.WAITING.value, "is_open": True}


def _is_known(tx: Transaction, trigger: Any, due_key: str) -> bool:
    query = select(Firing.id).where(Firing.trigger_id == trigger.id, Firing.due_key == due_key)
    return tx.execute(query.where(Firing.tenant_id == tx.tenant_id)).first() is not None
