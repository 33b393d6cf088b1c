"""Handing jobs out: a batch of `dispatch` tasks becomes Pending jobs in their targets' lines.

One transaction for the whole batch: the tasks' claims and the jobs' states are checked and changed
together, so a scheduler that has lost its claim hands out nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, select, update

from orchestrator.jobs import moves
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import History, JobsOffered
from orchestrator.jobs.states import Event, Status
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.transaction import Transaction

DISPATCH_ATTEMPTS = 20  # a scheduler that dies with a batch in hand has used up one

_LOCK = (
    select(Job.id, Job.tenant_id, Job.target, Job.status, Job.attempt, Job.fence, Job.robot_id)
    .where(Job.id.in_(bindparam("p_ids", expanding=True)), Job.status == Status.CREATED.value)
    .with_for_update()
)
_PEND = (
    update(Job)
    .where(Job.id.in_(bindparam("p_ids", expanding=True)), Job.status == Status.CREATED.value)
    .values(status=Status.PENDING.value, pending_at=bindparam("p_now"))
)


def dispatch(tx: Transaction, claimed: Sequence[ClaimedTask]) -> list[Any]:
    """Make the claimed tasks' jobs Pending, in order; return the rows of those that were Created.

    A job that was cancelled meanwhile only has its task finished. Jobs of several tenants may be in one
    batch: each line of history carries its own.
    """
    standing = tasks.lock_claimed(tx, claimed)
    by_job = {task.subject_id: task for task in standing}
    waiting = tx.execute(_LOCK, {"p_ids": list(by_job) or [0]}).all()
    waiting = sorted(waiting, key=lambda job: by_job[job.id].position)
    if waiting:
        tx.execute(_PEND, {"p_ids": [job.id for job in waiting], "p_now": tx.now})
        moves.write_history(tx, [_line(tx, job, by_job[job.id]) for job in waiting])
        tx.announce(JobsOffered(tuple(moves.line_key(job) for job in waiting)))
    tasks.succeed_claimed(tx, standing)
    return waiting


def _line(tx: Transaction, job: Any, task: ClaimedTask) -> dict[str, Any]:
    own = replace(tx, tenant_id=job.tenant_id)
    return moves.history_line(
        own,
        Event.DISPATCH,
        job.id,
        Status.PENDING,
        attempt=job.attempt,
        fence=job.fence,
        robot_id=0,
        history=History(partition=task.partition, seq=task.seq),
    )
