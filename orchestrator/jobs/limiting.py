"""Changing limits while jobs wait and run: runs under way count, and who may begin now is let in at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import insert, select, update

from orchestrator.database import among
from orchestrator.jobs import gate
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import LIVE, Status
from orchestrator.limits import breakers, permits, requirements, semaphores
from orchestrator.limits.model import EVERY_PROCESS, Permit
from orchestrator.processes import lifecycle as processes
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
    requirements.limit_tenant(tx, at_once)
    _count_runs_under_way(tx, EVERY_PROCESS)
    gate.let_in(tx, [EVERY_PROCESS])


def close_breaker(tx: Transaction, key: str) -> None:
    """Let the process's runs begin again. Raises `Conflict` where it has no breaker."""
    process = processes.existing(tx, key)
    breakers.close(tx, process)
    gate.let_in(tx, [process.id])


def _count_runs_under_way(tx: Transaction, process_id: int) -> None:
    """Give the runs that go on already the permits that they would have taken, even beyond the limit."""
    held = select(Job.id, Job.fence, Job.process_id, Job.robot_id).where(
        Job.tenant_id == tx.tenant_id, among(Job.status, [Status.PENDING, *LIVE]), Job.robot_id > 0
    )
    if process_id != EVERY_PROCESS:
        held = held.where(Job.process_id == process_id)
    runs = tx.execute(held).all()
    if not runs:
        return
    limited = Run.ended_at.is_(None), Run.tenant_id == tx.tenant_id
    for process in {run.process_id for run in runs}:
        ids = [run.id for run in runs if run.process_id == process]
        tx.execute(update(Run).where(Run.job_id.in_(ids), *limited).values(limited_process_id=process))
        rows = list(_missing(tx, process, [run for run in runs if run.process_id == process]))
        if rows:
            tx.execute(insert(Permit), rows)


def _missing(tx: Transaction, process_id: int, runs: Iterable[Any]) -> Iterable[dict[str, Any]]:
    required = permits.required(tx, process_id)
    permits.lock(tx, required)
    mine = select(Permit.semaphore_id, Permit.job_id).where(Permit.semaphore_id.in_(sorted(required)))
    has = {(row.semaphore_id, row.job_id) for row in tx.execute(mine.where(Permit.tenant_id == tx.tenant_id))}
    for run in runs:
        for semaphore_id, count in required.items():
            if (semaphore_id, run.id) not in has:
                yield permits.row(tx, semaphore_id, run, count, lease_seconds=None)
