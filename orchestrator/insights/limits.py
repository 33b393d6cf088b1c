"""What people see of limits: semaphores and who holds them, what a process requires, its breaker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select

from orchestrator.database import database_time
from orchestrator.insights.paging import Page, page
from orchestrator.jobs.model import HeldLine, Job
from orchestrator.limits import breakers, requirements, semaphores
from orchestrator.limits.model import Permit, Requirement, Semaphore, SemaphoreKind
from orchestrator.processes import lifecycle as processes
from orchestrator.processes.model import Process
from orchestrator.robots.model import Robot
from orchestrator.transaction import Transaction

HOLDERS_SHOWN = 100


@dataclass(frozen=True)
class HolderView:
    """A run that holds permits, since `taken_at`; `lease_until` is null where it holds them to its end."""

    job: str
    process: str
    robot: str | None
    permits: int
    taken_at: datetime
    lease_until: datetime | None


@dataclass(frozen=True)
class SemaphoreView:
    """`held` of `permits` are in the hands of the runs in `holders`, the first hundred of them."""

    id: str
    name: str
    description: str
    permits: int
    held: int
    lease_seconds: int | None
    required_by: dict[str, int]
    holders: list[HolderView]
    created_at: datetime


@dataclass(frozen=True)
class BreakerView:
    """`failures` within `within_seconds` open it; `trial_at` is when one run may try."""

    failures: int
    within_seconds: int
    cooldown_seconds: int | None
    state: str
    reason: str | None
    opened_at: datetime | None
    trial_at: datetime | None


@dataclass(frozen=True)
class ProcessLimitsView:
    """`held_back_since`: since when jobs of the process have waited for room without a break, null: none."""

    process: str
    semaphores: dict[str, int]
    max_concurrent: int | None
    breaker: BreakerView | None
    held_back_since: datetime | None


@dataclass(frozen=True)
class TenantLimitsView:
    """`running` counts the runs under the limit, and is null where there is none."""

    max_concurrent: int | None
    running: int | None


def listed(tx: Transaction, limit: int, cursor: str | None) -> Page[SemaphoreView]:
    query = select(*Semaphore.__table__.columns).where(
        Semaphore.tenant_id == tx.tenant_id, Semaphore.kind == SemaphoreKind.NAMED.value
    )
    return page(tx, query, Semaphore.id, limit, cursor, lambda rows: _views(tx, rows))


def one(tx: Transaction, key: str) -> SemaphoreView:
    return _views(tx, [semaphores.existing(tx, key)])[0]


def of_process(tx: Transaction, key: str) -> ProcessLimitsView:
    process = processes.existing(tx, key)
    own = requirements.own(tx, SemaphoreKind.PROCESS, str(process.id))
    required = select(Requirement.semaphore_id, Requirement.permits, Semaphore.name, Semaphore.kind).where(
        Requirement.tenant_id == tx.tenant_id,
        Requirement.process_id == process.id,
        Semaphore.id == Requirement.semaphore_id,
    )
    rows = tx.execute(required.order_by(Semaphore.name)).all()
    holds = own is not None and own.id in {row.semaphore_id for row in rows}
    waiting = select(func.min(HeldLine.since)).where(
        HeldLine.tenant_id == tx.tenant_id, HeldLine.process_id == process.id
    )
    return ProcessLimitsView(
        process=process.name,
        semaphores={row.name: row.permits for row in rows if row.kind == SemaphoreKind.NAMED},
        max_concurrent=own.permits if own is not None and holds else None,
        breaker=_breaker(breakers.find(tx, process.id)),
        held_back_since=tx.execute(waiting).scalar(),
    )


def of_tenant(tx: Transaction) -> TenantLimitsView:
    own = requirements.own(tx, SemaphoreKind.TENANT, "")
    if own is None or not requirements.of_semaphores(tx, [own.id]):
        return TenantLimitsView(None, None)
    return TenantLimitsView(own.permits, sum(holder.permits for holder in _counted(tx, [own.id])))


def _breaker(row: Any | None) -> BreakerView | None:
    if row is None:
        return None
    return BreakerView(
        failures=row.failures,
        within_seconds=row.within_seconds,
        cooldown_seconds=row.cooldown_seconds,
        state=row.state,
        reason=row.reason,
        opened_at=row.opened_at,
        trial_at=row.trial_at,
    )


def _views(tx: Transaction, rows: Sequence[Any]) -> list[SemaphoreView]:
    ids = [row.id for row in rows]
    required: dict[int, dict[str, int]] = defaultdict(dict)
    query = select(Requirement.semaphore_id, Process.name, Requirement.permits).where(
        Requirement.tenant_id == tx.tenant_id,
        Requirement.semaphore_id.in_(ids),
        Process.id == Requirement.process_id,
    )
    for found in tx.execute(query.order_by(Process.name)):
        required[found.semaphore_id][found.name] = found.permits
    holders: dict[int, list[Any]] = defaultdict(list)
    for holder in holding(tx, ids):
        holders[holder.semaphore_id].append(holder)
    return [
        SemaphoreView(
            id=row.public_id,
            name=row.name,
            description=row.description,
            permits=row.permits,
            held=sum(holder.permits for holder in holders[row.id]),
            lease_seconds=row.lease_seconds,
            required_by=required[row.id],
            holders=[_holder(holder) for holder in holders[row.id][:HOLDERS_SHOWN]],
            created_at=row.created_at,
        )
        for row in rows
    ]


def holding(tx: Transaction, semaphore_ids: Sequence[int]) -> list[Any]:
    """The permits of these that count now, with the names of who holds them, the oldest first."""
    query = (
        select(
            Permit.semaphore_id,
            Permit.permits,
            Permit.taken_at,
            Permit.lease_until,
            Job.guid,
            Process.name.label("process_name"),
            Robot.name.label("robot_name"),
        )
        .join(Job, Job.id == Permit.job_id)
        .join(Process, Process.id == Permit.process_id)
        .outerjoin(Robot, Robot.id == Permit.robot_id)
        .where(Permit.tenant_id == tx.tenant_id, Permit.semaphore_id.in_(semaphore_ids), _counts())
        .order_by(Permit.id)
    )
    return list(tx.execute(query).all())


def _counted(tx: Transaction, semaphore_ids: Sequence[int]) -> list[Any]:
    query = select(Permit.permits).where(
        Permit.tenant_id == tx.tenant_id, Permit.semaphore_id.in_(semaphore_ids), _counts()
    )
    return list(tx.execute(query).all())


def _counts() -> Any:
    return or_(Permit.lease_until.is_(None), Permit.lease_until > database_time())


def _holder(row: Any) -> HolderView:
    return HolderView(
        job=row.guid,
        process=row.process_name,
        robot=row.robot_name,
        permits=row.permits,
        taken_at=row.taken_at,
        lease_until=row.lease_until,
    )
