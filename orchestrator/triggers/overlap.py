"""Whether an earlier firing of a trigger still has jobs that have not ended, and those that wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import func, select, update

from orchestrator.jobs.model import Job
from orchestrator.jobs.states import TERMINAL
from orchestrator.transaction import Transaction
from orchestrator.triggers.model import Firing, FiringState

ENDED = sorted(status.value for status in TERMINAL)


def is_busy(tx: Transaction, trigger: Any) -> bool:
    """Whether jobs of an earlier firing live, or a firing waits for them. Closes firings that are done."""
    if waiting(tx, trigger):
        return True
    return has_live_jobs(tx, trigger)


def has_live_jobs(tx: Transaction, trigger: Any) -> bool:
    """Whether a job of an earlier firing has not ended. Closes the firings that are found to be done."""
    for row in tx.execute(_open(trigger, FiringState.FIRED).order_by(Firing.id.desc())).all():
        if _lives(tx, row.jobs):
            return True
        mine = update(Firing).where(Firing.id == row.id, Firing.tenant_id == trigger.tenant_id)
        tx.execute(mine.values(is_open=False))
    return False


def waiting(tx: Transaction, trigger: Any) -> int:
    """How many firings of the trigger wait."""
    query = select(func.count()).select_from(_open(trigger, FiringState.WAITING).subquery())
    return int(tx.execute(query).scalar_one())


def first_waiting(tx: Transaction, trigger: Any) -> Any | None:
    """The firing that waits longest."""
    query = select(*Firing.__table__.columns).where(*_where(trigger, FiringState.WAITING))
    return tx.execute(query.order_by(Firing.id).limit(1)).one_or_none()


def _where(trigger: Any, state: FiringState) -> tuple[Any, ...]:
    return (
        Firing.trigger_id == trigger.id,
        Firing.tenant_id == trigger.tenant_id,
        Firing.is_open.is_(True),
        Firing.state == state.value,
    )


def _open(trigger: Any, state: FiringState) -> Any:
    return select(Firing.id, Firing.jobs).where(*_where(trigger, state))


def _lives(tx: Transaction, guids: list[str]) -> bool:
    """Whether any of these jobs has not ended. One that is not in the table has been moved to history."""
    for some in _in_batches(guids, 500):
        live = select(Job.id).where(Job.guid.in_(some), Job.status.not_in(ENDED))
        if tx.execute(live.where(Job.tenant_id == tx.tenant_id).limit(1)).first():
            return True
    return False


def _in_batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))
