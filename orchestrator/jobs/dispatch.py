"""Handing jobs out: `dispatch` tasks become Pending jobs in their targets' lines.

Claim, jobs and tasks change in one transaction: a scheduler that dies, or has lost its partition, has handed
out nothing, and holds nothing that others would wait for. With care, the claim is committed before, for one
task at a time, so that a task of which schedulers die is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, select, update

from orchestrator.jobs import moves
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import History, JobsOffered
from orchestrator.jobs.states import Event, Status
from orchestrator.tasks.claim import (
    HEAD_OF_LINE,
    ClaimedTask,
    Outrun,
    Ownership,
    owned_line,
    reached,
    succeed,
)
from orchestrator.tasks.claimed import lock_claimed, succeed_claimed
from orchestrator.tasks.model import Lane, Task
from orchestrator.transaction import Transaction

DISPATCH_ATTEMPTS = 20  # of a task; one of which schedulers die is set aside long before

_JOB = (Job.id, Job.tenant_id, Job.target, Job.status, Job.attempt, Job.fence, Job.robot_id)
_HEAD = (
    select(
        Task.id.label("task_id"),
        Task.tenant_id.label("task_tenant_id"),
        Task.partition,
        Task.seq,
        Task.position,
        Task.created_at,
        Task.attempt.label("task_attempt"),
        *_JOB,
    )
    .outerjoin(Job, and_(Job.id == Task.subject_id, Job.tenant_id == Task.tenant_id))
    .where(*HEAD_OF_LINE)
    .order_by(Task.position)
    .limit(bindparam("p_limit"))
)

_LOCK = (
    select(*_JOB)
    .where(Job.id.in_(bindparam("p_ids", expanding=True)), Job.status == Status.CREATED.value)
    .with_for_update()
)
_PEND = (
    update(Job)
    .where(Job.id.in_(bindparam("p_ids", expanding=True)), Job.status == Status.CREATED.value)
    .values(status=Status.PENDING.value, pending_at=bindparam("p_now"))
)


class Suspicious(Exception):  # noqa: N818  (an outcome, not an error)
    """One of the tasks has been tried before: they are to be done one by one."""


@dataclass(frozen=True)
class HandedOut:
    """How many tasks were done; and of the one behind them, if any, when it arrived and whose it is."""

    count: int
    next_created_at: datetime | None = None
    next_tenant_id: int | None = None


def hand_out(tx: Transaction, owned: Ownership, limit: int) -> HandedOut:
    """Hand out the jobs of up to `limit` tasks at the head of the line.

    Raises `StaleFence` if the partition is lost, `Outrun` where a job was cancelled at this moment, and
    `Suspicious` where a task was tried before, with care.
    """
    tx.step = "hand_out"
    line = owned_line(tx, owned, Lane.SCHEDULER)
    head: Sequence[Any] = tx.execute(_HEAD, line | {"p_limit": limit + 1}).all()
    taken, behind = head[:limit], head[limit:]
    if any(row.task_attempt for row in taken):
        raise Suspicious
    waiting = [row for row in taken if row.status == Status.CREATED]
    _offer(tx, waiting, [History(partition=row.partition, seq=row.seq) for row in waiting])
    succeed(tx, [row.task_id for row in taken])
    if taken:
        reached(tx, owned, Lane.SCHEDULER, taken[-1].position)
    if not behind:
        return HandedOut(len(taken))
    return HandedOut(len(taken), behind[0].created_at, behind[0].task_tenant_id)


def dispatch(tx: Transaction, claimed: Sequence[ClaimedTask]) -> list[Any]:
    """Make the claimed tasks' jobs Pending, in order; return the rows of those that were Created.

    A job that was cancelled meanwhile only has its task finished. Jobs of several tenants may be in one
    batch: each line of history carries its own.
    """
    tx.step = "dispatch"
    standing = lock_claimed(tx, claimed)
    by_job = {task.subject_id: task for task in standing}
    waiting = tx.execute(_LOCK, {"p_ids": list(by_job) or [0]}).all()
    waiting = sorted(waiting, key=lambda job: by_job[job.id].position)
    places = [by_job[job.id] for job in waiting]
    _offer(tx, waiting, [History(partition=task.partition, seq=task.seq) for task in places])
    succeed_claimed(tx, standing)
    return waiting


def _offer(tx: Transaction, jobs: Sequence[Any], places: Sequence[History]) -> None:
    if not jobs:
        return
    pending = {"p_ids": [job.id for job in jobs], "p_now": tx.now}
    if tx.execute(_PEND, pending).rowcount != len(jobs):
        raise Outrun  # a person cancelled one between the look and the change
    moves.write_history(tx, [_line(tx, job, place) for job, place in zip(jobs, places, strict=True)])
    tx.announce(JobsOffered(tuple(moves.line_key(job) for job in jobs)))


def _line(tx: Transaction, job: Any, place: History) -> dict[str, Any]:
    own = replace(tx, tenant_id=job.tenant_id)
    return moves.history_line(
        own,
        Event.DISPATCH,
        job.id,
        Status.PENDING,
        attempt=job.attempt,
        fence=job.fence,
        robot_id=0,
        history=place,
    )
