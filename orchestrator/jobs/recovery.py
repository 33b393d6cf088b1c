"""What happens to jobs whose robots fall silent, exceed their time, or never begin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update

from orchestrator.database import database_time
from orchestrator.jobs import moves
from orchestrator.jobs.dispatch import DISPATCH_ATTEMPTS
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import History, OrderGiven
from orchestrator.jobs.report import end_run
from orchestrator.jobs.states import CODE_ABORTING, LIVE, ORDERS, Event, Status
from orchestrator.limits.breakers import Ended
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import TaskKind
from orchestrator.transaction import Transaction

LIMIT = 100


def lose(tx: Transaction, job: Any, reason: str, sentence: str) -> bool:
    """The run of `job` is lost: it fails, or, where its creator allowed it, waits for another attempt."""
    may_requeue = job.on_lost == "requeue" and job.attempt < job.max_attempts
    if may_requeue and job.status == Status.IN_PROGRESS:
        return _requeue(tx, job, reason, sentence)
    return _fail(tx, Event.LOSE, job, reason, sentence)


def _fail(tx: Transaction, event: Event, job: Any, reason: str, sentence: str) -> bool:
    """The run ends here, as Failed; what its robot still says comes too late."""
    failed = moves.move(
        tx,
        event,
        job,
        History(reason=sentence),
        fence_grows=True,
        reason=reason,
        error=sentence,
        finished_at=tx.now,
        lease_until=None,
        run_until=None,
    )
    if failed:
        end_run(tx, job, Ended.FAILED)
    return failed


def _requeue(tx: Transaction, job: Any, reason: str, sentence: str) -> bool:
    moved = moves.move(
        tx,
        Event.REQUEUE,
        job,
        History(reason=sentence),
        fence_grows=True,
        reason=reason,
        attempt=job.attempt + 1,
        robot_id=0,
        lease_until=None,
        run_until=None,
        progress=None,
        stalls_at=None,
        stalled_at=None,
        consumed_at=None,
        started_at=None,
        pending_at=None,
    )
    if moved:
        end_run(tx, job, Ended.FAILED)
        again = NewTask(TaskKind.DISPATCH, subject_id=job.id, rank=job.rank, max_attempts=DISPATCH_ATTEMPTS)
        enqueue(tx, [again])
    return moved


def lapsed(tx: Transaction, job_id: int | None = None) -> list[Any]:
    """Rows of jobs, of all tenants, whose lease has ended: begun ones, and handed-out ones never begun. With
    `job_id`, of that one, if its has."""
    held = [Status.PENDING.value, *[status.value for status in sorted(LIVE)]]
    query = (
        select(*Job.__table__.columns)
        .where(Job.status.in_(held), Job.lease_until < database_time())
        .limit(LIMIT)
    )
    return list(tx.execute(_of(query, job_id)).all())


def overdue(tx: Transaction, job_id: int | None = None) -> list[Any]:
    """Rows of running jobs, of all tenants, beyond their time limit or the grace after an abort. With
    `job_id`, of that one, if it is."""
    query = select(*Job.__table__.columns).where(_is_live(), Job.run_until < database_time()).limit(LIMIT)
    return list(tx.execute(_of(query, job_id)).all())


def _of(query: Any, job_id: int | None) -> Any:
    return query if job_id is None else query.where(Job.id == job_id)


def _is_live() -> Any:
    return Job.status.in_([status.value for status in sorted(LIVE)])


def release(tx: Transaction, job: Any) -> bool:
    """Take a job back from a robot that never reported In_Progress: nothing has begun, so any may have it."""
    released = moves.move(
        tx,
        Event.RELEASE,
        job,
        History(reason="The robot took the job and did not begin it."),
        fence_grows=True,
        robot_id=0,
        consumed_at=None,
        lease_until=None,
    )
    if released:
        end_run(tx, job)
        tx.announce(moves.JobsOffered((moves.line_key(job),)))
    return released


def time_out(tx: Transaction, job: Any, grace: timedelta) -> bool:
    """Beyond its limit a run is told to abort; one that does not answer in `grace` ends Failed."""
    if job.status == Status.ABORTING:
        sentence = "The robot did not end the run within the time given after the abort."
        return _fail(tx, Event.GIVE_UP, job, job.reason or "abort_unanswered", sentence)
    sentence = f"The run took longer than its limit of {job.max_run_seconds} seconds."
    moved = moves.move(
        tx,
        Event.TIME_OUT,
        job,
        History(reason=sentence),
        reason="time_limit",
        abort_requested_at=tx.now,
        run_until=tx.now + grace,
    )
    if moved:
        tx.announce(OrderGiven(job.robot_id, job.guid, CODE_ABORTING))
    return moved


def extend_lease(tx: Transaction, robot_id: int, job_guid: str, lease: timedelta) -> None:
    """A working heartbeat (or many, carried together): the run lives on. A lease is never made shorter."""
    until = tx.now + lease
    shorter = or_(Job.lease_until.is_(None), Job.lease_until < until)
    tx.execute(
        update(Job)
        .where(Job.guid == job_guid, Job.robot_id == robot_id, _is_live(), shorter)
        .values(lease_until=until)
    )


def expect_word(tx: Transaction, robot_id: int, within: timedelta) -> None:
    """The robot's program is known to have ended. A run that no working heartbeat has made lease-based yet
    would never be missed: it gets a lease now, in which a kept report may still arrive."""
    tx.execute(
        update(Job)
        .where(Job.robot_id == robot_id, _is_live(), Job.lease_until.is_(None))
        .values(lease_until=tx.now + within)
    )


def lines_with_jobs(tx: Transaction) -> list[str]:
    """The lines, of all tenants, in which jobs wait for a robot."""
    query = (
        select(Job.tenant_id, Job.target)
        .where(Job.status == Status.PENDING.value, Job.robot_id == 0)
        .distinct()
    )
    return [moves.line_key(row) for row in tx.execute(query)]


def open_orders(tx: Transaction) -> list[tuple[int, str, int]]:
    """(robot id, job GUID, code) of every job, of all tenants, that is to stop or abort."""
    asked = [Status.STOPPING.value, Status.ABORTING.value]
    query = select(Job.robot_id, Job.guid, Job.status).where(Job.status.in_(asked)).limit(1000)
    return [(row.robot_id, row.guid, ORDERS[Status(row.status)]) for row in tx.execute(query)]
