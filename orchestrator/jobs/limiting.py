"""Changing limits while jobs wait and run: runs under way count, and who may begin now is let in at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from orchestrator.database import among
from orchestrator.jobs import gate
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import LIVE, Status
from orchestrator.limits import breakers, permits, requirements, semaphores
from orchestrator.limits.model import EVERY_PROCESS, Permit
from orchestrator.processes import lifecycle as processes
from orchestrator.runs import lifecycle as runs
from orchestrator.runs.model import Run
from orchestrator.transaction import Transaction


def change_semaphore(tx: Transaction, key: str, **changes: Any) -> str:
    """Change a semaphore (`semaphores.change`); return its public id."""
    semaphore = semaphores.change(tx, key, **changes)
    gate.let_in(tx, requirements.of_semaphores(tx, [semaphore.id]))
    return str(semaphore.public_id)


def limit_process(tx: Transaction, key: str, **changes: Any) -> None:
    """Change what limits a process's runs; what is not named stays.

    `semaphores`: numbers of permits by id or name. `max_concurrent`: None for no limit. `breaker`: None for
    none, else `failures`, `within_seconds` and `cooldown_seconds`.
    """
    process = processes.existing(tx, key)
    _lock(tx, process.id)
    if "semaphores" in changes:
        requirements.require(tx, process, changes["semaphores"])
    if "max_concurrent" in changes:
        requirements.limit_process(tx, process, changes["max_concurrent"])
    if "breaker" in changes:
        breakers.configure(tx, process, changes["breaker"])
    _count_runs_under_way(tx, process.id)
    gate.let_in(tx, [process.id])


def limit_tenant(tx: Transaction, at_once: int | None) -> None:
    """At most so many runs of the whole tenant at once; None: no limit."""
    _lock(tx, EVERY_PROCESS)
    requirements.limit_tenant(tx, at_once)
    _count_runs_under_way(tx, EVERY_PROCESS)
    gate.let_in(tx, [EVERY_PROCESS])


def close_breaker(tx: Transaction, key: str) -> None:
    """Let the process's runs begin again. Raises `Conflict` where it has no breaker."""
    process = processes.existing(tx, key)
    breakers.close(tx, process)
    gate.let_in(tx, [process.id])


def _lock(tx: Transaction, process_id: int) -> None:
    """Runs before semaphores before breakers, as at the end of a run: and so all of them at once."""
    robot_ids = [job.robot_id for job in _under_way(tx, process_id)]
    if robot_ids:
        runs.of_robots(tx, robot_ids)
    permits.lock_all(tx)


def _under_way(tx: Transaction, process_id: int) -> list[Any]:
    held = select(Job.id, Job.fence, Job.process_id, Job.robot_id).where(
        Job.tenant_id == tx.tenant_id, among(Job.status, [Status.PENDING, *LIVE]), Job.robot_id > 0
    )
    if process_id != EVERY_PROCESS:
        held = held.where(Job.process_id == process_id)
    return list(tx.execute(held).all())


def _count_runs_under_way(tx: Transaction, process_id: int) -> None:
    """Give the runs that go on already the permits that they would have taken, even beyond the limit."""
    jobs = _under_way(tx, process_id)
    for process in sorted({job.process_id for job in jobs}):
        held = [job for job in jobs if job.process_id == process]
        _mark_limited(tx, process, [job.id for job in held])
        rows = list(_missing(tx, process, held))
        if rows:
            tx.execute(insert(Permit), rows)


def _mark_limited(tx: Transaction, process_id: int, job_ids: Sequence[int]) -> None:
    # Only those that are not marked: one that has begun since, and ends now, waits for our semaphores.
    unmarked = select(Run.id).where(
        Run.job_id.in_(job_ids),
        Run.tenant_id == tx.tenant_id,
        Run.ended_at.is_(None),
        Run.limited_process_id.is_(None),
    )
    ids = list(tx.execute(unmarked.order_by(Run.id)).scalars())
    if ids:
        mine = update(Run).where(Run.id.in_(ids), Run.tenant_id == tx.tenant_id)
        tx.execute(mine.values(limited_process_id=process_id))


def _missing(tx: Transaction, process_id: int, jobs: Iterable[Any]) -> Iterable[dict[str, Any]]:
    required = permits.required(tx, process_id)
    permits.lock(tx, required)
    mine = select(Permit.semaphore_id, Permit.job_id).where(Permit.semaphore_id.in_(sorted(required)))
    has = {(row.semaphore_id, row.job_id) for row in tx.execute(mine.where(Permit.tenant_id == tx.tenant_id))}
    for job in jobs:
        for semaphore_id, count in required.items():
            if (semaphore_id, job.id) not in has:
                yield permits.row(tx, semaphore_id, job, count, lease_seconds=None)
