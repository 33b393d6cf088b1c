"""Permits: a run takes all that its process requires or none, and gives them back as it ends.

Who holds how many is counted under the lock of the semaphores' rows, so however many take at once, the
holders are never more than the limit. One set of rows is locked in the order of their ids; who has one set
already tries for another without waiting: so no two wait for each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, or_, select

from orchestrator.database import database_time
from orchestrator.limits.model import EVERY_PROCESS, Admission, Permit, Requirement, Semaphore
from orchestrator.transaction import Transaction

UNLIMITED = 1_000_000

_REQUIRED = (
    select(Requirement.process_id, Requirement.semaphore_id, Requirement.permits)
    .where(
        Requirement.tenant_id == bindparam("p_tenant_id"),
        Requirement.process_id.in_(bindparam("p_process_ids", expanding=True)),
    )
    .order_by(Requirement.semaphore_id)
)
_SEMAPHORES = (
    select(Semaphore.id, Semaphore.permits, Semaphore.lease_seconds)
    .where(
        Semaphore.tenant_id == bindparam("p_tenant_id"),
        Semaphore.id.in_(bindparam("p_ids", expanding=True)),
    )
    .order_by(Semaphore.id)
)
_LOCK = _SEMAPHORES.with_for_update()
_TRY_TO_LOCK = _SEMAPHORES.with_for_update(skip_locked=True)
_LOCK_ALL = (
    select(Semaphore.id)
    .where(Semaphore.tenant_id == bindparam("p_tenant_id"))
    .order_by(Semaphore.id)
    .with_for_update()
)
_USED = (
    select(Permit.semaphore_id, func.sum(Permit.permits))
    .where(
        Permit.tenant_id == bindparam("p_tenant_id"),
        Permit.semaphore_id.in_(bindparam("p_ids", expanding=True)),
        or_(Permit.lease_until.is_(None), Permit.lease_until > database_time()),
    )
    .group_by(Permit.semaphore_id)
)
_INSERT = insert(Permit)
_HELD = (
    select(Permit.semaphore_id)
    .where(Permit.tenant_id == bindparam("p_tenant_id"), Permit.job_id == bindparam("p_job_id"))
    .distinct()
)
_GIVE_BACK = delete(Permit).where(
    Permit.tenant_id == bindparam("p_tenant_id"), Permit.job_id == bindparam("p_job_id")
)


@dataclass(frozen=True)
class Taker:
    """A run: what holds permits. `id` and `fence` are the job's."""

    id: int
    fence: int
    process_id: int
    robot_id: int


def take(tx: Transaction, run: Taker, *, may_wait: bool = True) -> Admission:
    """Take every permit that the run requires, or none and say so. `may_wait` only in a transaction that has
    locked no limit yet."""
    needed = required(tx, run.process_id)
    if not needed:
        return Admission.GRANTED
    semaphores = lock(tx, needed, _LOCK if may_wait else _TRY_TO_LOCK)
    if not may_wait and len(semaphores) < len(needed):
        return Admission.BUSY
    used = _used(tx, needed)
    if any(used[one.id] + needed[one.id] > one.permits for one in semaphores):
        return Admission.REFUSED
    tx.execute(_INSERT, [row(tx, one.id, run, needed[one.id], one.lease_seconds) for one in semaphores])
    return Admission.GRANTED


def row(
    tx: Transaction, semaphore_id: int, run: Any, count: int, lease_seconds: int | None
) -> dict[str, Any]:
    """The values of a permit in the hands of `run`, a `Taker` or a job's row."""
    return {
        "tenant_id": tx.tenant_id,
        "semaphore_id": semaphore_id,
        "job_id": run.id,
        "fence": run.fence,
        "process_id": run.process_id,
        "robot_id": run.robot_id,
        "permits": count,
        "taken_at": tx.now,
        "lease_until": tx.now + timedelta(seconds=lease_seconds) if lease_seconds else None,
    }


def required(tx: Transaction, process_id: int) -> dict[int, int]:
    """How many permits of which semaphores a run of the process takes, its tenant's limit included."""
    return {row.semaphore_id: row.permits for row in _required(tx, [process_id])}


def give_back(tx: Transaction, job_id: int) -> list[int]:
    """The run of the job is over: its permits go. Returns the ids of their semaphores, which stay locked, so
    that who found them full a moment ago has committed, and is seen to wait."""
    asked = {"p_tenant_id": tx.tenant_id, "p_job_id": job_id}
    held = list(tx.execute(_HELD, asked).scalars())
    if held:
        lock(tx, held)
        tx.execute(_GIVE_BACK, asked)
    return held


def lock(tx: Transaction, semaphore_ids: Collection[int], how: Any = None) -> list[Any]:
    """The semaphores' rows, kept from all other takers until the transaction ends."""
    asked = {"p_tenant_id": tx.tenant_id, "p_ids": sorted(semaphore_ids)}
    return list(tx.execute(_LOCK if how is None else how, asked).all())


def lock_all(tx: Transaction) -> None:
    """Keep every semaphore of the tenant from all takers: for who changes what is required."""
    tx.execute(_LOCK_ALL, {"p_tenant_id": tx.tenant_id}).all()


def room(tx: Transaction, process_ids: Iterable[int]) -> dict[int, int]:
    """How many more runs of each process the permits that are free now would let begin."""
    wanted = sorted(set(process_ids))
    rows = _required(tx, wanted)
    ids = {row.semaphore_id for row in rows}
    asked = {"p_tenant_id": tx.tenant_id, "p_ids": sorted(ids)}
    limits = {row.id: row.permits for row in tx.execute(_SEMAPHORES, asked)} if ids else {}
    used = _used(tx, ids)
    free = dict.fromkeys(wanted, UNLIMITED)
    for row in rows:
        left = max(0, limits.get(row.semaphore_id, UNLIMITED) - used[row.semaphore_id]) // row.permits
        for process_id in wanted if row.process_id == EVERY_PROCESS else [row.process_id]:
            free[process_id] = min(free[process_id], left)
    return free


def _required(tx: Transaction, process_ids: Collection[int]) -> list[Any]:
    asked = {"p_tenant_id": tx.tenant_id, "p_process_ids": [EVERY_PROCESS, *process_ids]}
    return list(tx.execute(_REQUIRED, asked).all())


def _used(tx: Transaction, semaphore_ids: Collection[int]) -> dict[int, int]:
    used: dict[int, int] = defaultdict(int)
    if semaphore_ids:
        asked = {"p_tenant_id": tx.tenant_id, "p_ids": sorted(semaphore_ids)}
        used |= {semaphore_id: int(count) for semaphore_id, count in tx.execute(_USED, asked)}
    return used


def lapse(tx: Transaction) -> int:
    """Delete permits, of all tenants, whose lease has ended: they count no longer anyway."""
    return int(tx.execute(delete(Permit).where(Permit.lease_until <= database_time())).rowcount)
