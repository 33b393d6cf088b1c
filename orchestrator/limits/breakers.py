"""Breakers: a process whose runs fail one after the other is not started any more.

Closed, until so many runs have failed within so long; then open, until a person closes it or the cool-down
lets one run try: half-open. Its success closes the breaker, its failure opens it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from orchestrator import audit
from orchestrator.errors import Conflict
from orchestrator.limits.model import Admission, Breaker, BreakerState
from orchestrator.transaction import Transaction


class Ended(StrEnum):
    """How a run ended, as far as a breaker cares. `OTHERWISE`: stopped by a person, or never begun."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OTHERWISE = "otherwise"


_OF_PROCESS = (Breaker.tenant_id == bindparam("p_tenant_id"), Breaker.process_id == bindparam("p_process_id"))
_FIND = select(*Breaker.__table__.columns).where(*_OF_PROCESS)
_LOCK = _FIND.with_for_update()
_TRY_TO_LOCK = _FIND.with_for_update(skip_locked=True)


def let_begin(tx: Transaction, process_id: int, job_id: int, *, may_wait: bool = True) -> Admission:
    """Whether a run may begin now; where it is the trial after the cool-down, it is noted as that.
    `may_wait` only in a transaction that has locked no limit of another process."""
    breaker = _locked(tx, process_id, _LOCK if may_wait else _TRY_TO_LOCK)
    if breaker is None and not may_wait and find(tx, process_id) is not None:
        return Admission.BUSY
    if breaker is None or breaker.state == BreakerState.CLOSED:
        return Admission.GRANTED
    if breaker.state == BreakerState.HALF_OPEN or breaker.trial_at is None or breaker.trial_at > tx.now:
        return Admission.REFUSED
    _set(tx, breaker, state=BreakerState.HALF_OPEN.value, trial_job_id=job_id)
    return Admission.GRANTED


def note(tx: Transaction, process_id: int, job_id: int, ended: Ended) -> None:
    """A run of the process is over."""
    breaker = _locked(tx, process_id)
    if breaker is None:
        return
    if breaker.state == BreakerState.HALF_OPEN and breaker.trial_job_id == job_id:
        if ended == Ended.SUCCEEDED:
            _close(tx, breaker)
        elif ended == Ended.FAILED:
            _open(tx, breaker, "The run that tried it after the cool-down failed too.")
        else:  # it proved nothing: the next may try at once
            _set(tx, breaker, state=BreakerState.OPEN.value, trial_job_id=0, trial_at=tx.now)
    elif breaker.state == BreakerState.CLOSED and ended == Ended.FAILED:
        _count(tx, breaker)


def _count(tx: Transaction, breaker: Any) -> None:
    since = tx.now - timedelta(seconds=breaker.within_seconds)
    earlier = [moment for moment in breaker.recent if datetime.fromisoformat(moment) > since]
    recent = [*earlier, tx.now.isoformat()][-breaker.failures :]
    if len(recent) < breaker.failures:
        _set(tx, breaker, recent=recent)
    else:
        _open(tx, breaker, f"{breaker.failures} runs failed within {breaker.within_seconds} seconds.")


def _open(tx: Transaction, breaker: Any, reason: str) -> None:
    cooldown = breaker.cooldown_seconds
    _set(
        tx,
        breaker,
        state=BreakerState.OPEN.value,
        recent=[],
        reason=reason,
        opened_at=tx.now,
        trial_at=tx.now + timedelta(seconds=cooldown) if cooldown is not None else None,
        trial_job_id=0,
    )


def _close(tx: Transaction, breaker: Any) -> None:
    closed: dict[str, Any] = {"state": BreakerState.CLOSED.value, "recent": [], "trial_job_id": 0}
    _set(tx, breaker, **closed, reason=None, opened_at=None, trial_at=None)


def close(tx: Transaction, process: Any) -> None:
    """A person lets the process's runs begin again. Raises `Conflict` where it has no breaker."""
    breaker = _locked(tx, process.id)
    if breaker is None:
        raise Conflict(f"Process {process.name!r} has no breaker.")
    if breaker.state != BreakerState.CLOSED:
        _close(tx, breaker)
        audit.record(tx, "breaker.close", process.name, was=breaker.reason)


def configure(tx: Transaction, process: Any, settings: Mapping[str, Any] | None) -> None:
    """Give the process a breaker (`failures`, `within_seconds`, `cooldown_seconds`), other settings to the
    one that it has, which stays open or closed; or None, and it has none any more."""
    breaker = _locked(tx, process.id)
    audit.record(tx, "process.limit", process.name, breaker=dict(settings) if settings else None)
    if settings is None:
        mine = delete(Breaker).where(Breaker.process_id == process.id, Breaker.tenant_id == tx.tenant_id)
        tx.execute(mine)
        return
    if breaker is None:
        new = {"tenant_id": tx.tenant_id, "process_id": process.id, "state": BreakerState.CLOSED.value}
        tx.execute(insert(Breaker), dict(settings) | new | {"recent": [], "trial_job_id": 0})
        return
    trial_at, cooldown = None, settings["cooldown_seconds"]
    if breaker.opened_at is not None and cooldown is not None:
        trial_at = breaker.opened_at + timedelta(seconds=cooldown)
    _set(tx, breaker, **settings, trial_at=trial_at)


def find(tx: Transaction, process_id: int) -> Any | None:
    return tx.execute(_FIND, _asked(tx, process_id)).one_or_none()


def shut(tx: Transaction, process_ids: Iterable[int]) -> set[int]:
    """Those of the processes of which no run may begin now."""
    waits = or_(
        Breaker.state == BreakerState.HALF_OPEN.value, Breaker.trial_at.is_(None), Breaker.trial_at > tx.now
    )
    query = select(Breaker.process_id).where(
        Breaker.tenant_id == tx.tenant_id,
        Breaker.process_id.in_(sorted(set(process_ids))),
        and_(Breaker.state != BreakerState.CLOSED.value, waits),
    )
    return set(tx.execute(query).scalars())


def trials(tx: Transaction) -> list[Any]:
    """(tenant, process, job) of every trial that is under way, of all tenants."""
    query = select(Breaker.tenant_id, Breaker.process_id, Breaker.trial_job_id)
    return list(tx.execute(query.where(Breaker.state == BreakerState.HALF_OPEN.value)).all())


def _locked(tx: Transaction, process_id: int, how: Any = _LOCK) -> Any | None:
    return tx.execute(how, _asked(tx, process_id)).one_or_none()


def _asked(tx: Transaction, process_id: int) -> dict[str, Any]:
    return {"p_tenant_id": tx.tenant_id, "p_process_id": process_id}


def _set(tx: Transaction, breaker: Any, **values: Any) -> None:
    # The caller has locked the row: nobody else decides meanwhile.
    mine = update(Breaker).where(Breaker.id == breaker.id, Breaker.tenant_id == breaker.tenant_id)
    tx.execute(mine.values(**values))
