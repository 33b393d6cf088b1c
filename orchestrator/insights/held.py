"""Why limits hold a job back: permits in others' hands, limits that are reached, a breaker that is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from orchestrator.insights.limits import holding
from orchestrator.insights.reason import Reason
from orchestrator.limits import breakers, permits
from orchestrator.limits.model import BreakerState, Semaphore, SemaphoreKind
from orchestrator.processes import lifecycle as processes
from orchestrator.transaction import Transaction

NAMED = 5  # holders


def why_it_is_held_back(tx: Transaction, job: Any) -> Iterator[Reason]:
    """Every limit that does not let the job begin now."""
    yield from _breaker(tx, job)
    required = permits.required(tx, job.process_id)
    if not required:
        return
    query = select(*Semaphore.__table__.columns).where(
        Semaphore.tenant_id == tx.tenant_id, Semaphore.id.in_(sorted(required))
    )
    for semaphore in tx.execute(query.order_by(Semaphore.id)).all():
        holders = holding(tx, [semaphore.id])
        held = sum(holder.permits for holder in holders)
        if held + required[semaphore.id] > semaphore.permits:
            yield _full(semaphore, required[semaphore.id], held, holders)


def _full(semaphore: Any, needed: int, held: int, holders: list[Any]) -> Reason:
    of = f"{held} of {semaphore.permits}"
    if semaphore.kind == SemaphoreKind.PROCESS:
        return Reason("process_at_its_limit", f"Its process is at its limit: {of} runs go on{_by(holders)}.")
    if semaphore.kind == SemaphoreKind.TENANT:
        return Reason("tenant_at_its_limit", f"The tenant is at its limit: {of} runs go on.")
    many = f"{needed} permits" if needed > 1 else "a permit"
    if needed > semaphore.permits:
        return Reason(
            "semaphore_too_small",
            f"It needs {needed} permits of {semaphore.name}, which has only {semaphore.permits}: "
            "it can never begin unless one of the two is changed.",
        )
    return Reason(
        "waits_for_permit", f"It waits for {many} of {semaphore.name}: {of} are held{_by(holders)}."
    )


def _by(holders: list[Any]) -> str:
    if not holders:
        return ""
    said = [f"robot {one.robot_name} (job {one.guid})" for one in holders[:NAMED]]
    more = f" and {len(holders) - NAMED} more" if len(holders) > NAMED else ""
    return f" by {', '.join(said)}{more}"


def _breaker(tx: Transaction, job: Any) -> Iterator[Reason]:
    breaker = breakers.find(tx, job.process_id)
    if breaker is None or job.process_id not in breakers.shut(tx, [job.process_id]):
        return
    name = processes.name_of(tx, job.process_id)
    since = f"{breaker.opened_at:%Y-%m-%d %H:%M:%S} UTC"
    said = f"Process {name} is paused by its breaker since {since}: {breaker.reason}"
    if breaker.state == BreakerState.HALF_OPEN:
        then = "One run is trying it now; its success closes the breaker."
    elif breaker.trial_at is not None:
        then = f"The next trial is at {breaker.trial_at:%Y-%m-%d %H:%M:%S} UTC."
    else:
        then = "A person must close it."
    yield Reason("breaker_open", f"{said} {then}")
