"""Runs that stand still: their robots are heard, and the work gets no further.

Progress is what the server sees of it: the run begins, reports another percentage, takes or changes a
resource. Only jobs whose process sets `stalled_after_seconds` are watched. A run that is silent is lost,
which is another matter (`recovery`); one that stands still may be waiting for a person, who is told of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_, select, update

from orchestrator.database import database_time
from orchestrator.jobs import moves
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import History, OrderGiven
from orchestrator.jobs.states import CODE_ABORTING, Event, Status
from orchestrator.runs.model import Run
from orchestrator.transaction import Transaction

LIMIT = 100
WATCHED = (Status.IN_PROGRESS, Status.STOPPING)  # an aborting one has a deadline of its own
STALL, RESUME = "stall", "resume"  # lines of history that change no state


def suspects(tx: Transaction, job_id: int | None = None) -> list[Any]:
    """Jobs, of all tenants, that seem to stand still, or that are said to and may not any more. With
    `job_id`, that one, if it does.

    Rows with what `judge` must know; `touched_at` is when the run last did something with a resource.
    """
    live_run = and_(Run.job_id == Job.id, Run.robot_id == Job.robot_id, Run.ended_at.is_(None))
    query = (
        select(
            *moves.BRIEF, Job.stalls_at, Job.on_stalled, Job.started_at, Run.touched_at.label("touched_at")
        )
        .outerjoin(Run, live_run)
        .where(Job.status.in_([status.value for status in WATCHED]))
        .where(
            or_(
                and_(Job.stalled_at.is_(None), Job.stalls_at < database_time()),
                and_(Job.stalled_at.is_not(None), Run.touched_at > Job.stalled_at),
            )
        )
        .limit(LIMIT)
    )
    return list(tx.execute(query if job_id is None else query.where(Job.id == job_id)).all())


def judge(tx: Transaction, job: Any, grace: timedelta) -> bool:
    """Tell people that the run stands still, or that it goes on; end it where its process says so.

    Returns whether it stands still. `grace` is what the robot has to obey the abort.
    """
    limit = timedelta(seconds=job.stalled_after_seconds)
    if job.touched_at is not None and job.touched_at + limit > tx.now:
        _go_on(tx, job, job.touched_at + limit)
        return False
    since = max(job.stalls_at - limit, job.touched_at or job.stalls_at - limit)
    sentence = f"The robot is heard, and its run has made no progress since {since:%Y-%m-%d %H:%M:%S} UTC."
    if not _set(tx, job, Job.stalled_at.is_(None), stalled_at=tx.now):
        return False
    _write(tx, STALL, job, sentence)
    if job.on_stalled == "abort":
        _abort(tx, job, sentence, grace)
    return True


def values_at_start(job: Any, now: datetime) -> dict[str, Any]:
    """What the job's row says of stalls when the run begins."""
    limit = job.stalled_after_seconds
    return {"stalls_at": now + timedelta(seconds=limit), "stalled_at": None} if limit else {}


def note_progress(tx: Transaction, job: Any) -> None:
    """The run got further: the clock begins anew, and whoever was told of a stall is told of its end."""
    if job.stalled_after_seconds:
        _go_on(tx, job, tx.now + timedelta(seconds=job.stalled_after_seconds))


def _go_on(tx: Transaction, job: Any, stalls_at: datetime) -> None:
    if _set(tx, job, Job.stalled_at.is_not(None), stalled_at=None, stalls_at=stalls_at):
        _write(tx, RESUME, job, "The run makes progress again.")
    else:
        _set(tx, job, Job.stalled_at.is_(None), stalls_at=stalls_at)


def _abort(tx: Transaction, job: Any, sentence: str, grace: timedelta) -> None:
    asked: dict[str, Any] = {"abort_requested_at": tx.now, "run_until": tx.now + grace}
    if moves.move(tx, Event.TIME_OUT, job, History(reason=sentence), reason="stalled", **asked):
        tx.announce(OrderGiven(job.robot_id, job.guid, CODE_ABORTING))


def _set(tx: Transaction, job: Any, condition: Any, **values: Any) -> bool:
    guarded = (
        update(Job)
        .where(Job.id == job.id, Job.tenant_id == tx.tenant_id, Job.fence == job.fence, condition)
        .where(Job.status.in_([status.value for status in WATCHED]))
    )
    return bool(tx.execute(guarded.values(**values)).rowcount == 1)


def _write(tx: Transaction, event: str, job: Any, sentence: str) -> None:
    line = moves.history_line(
        tx,
        event,
        job.id,
        Status(job.status),
        attempt=job.attempt,
        fence=job.fence,
        robot_id=job.robot_id,
        history=History(reason=sentence),
    )
    moves.write_history(tx, [line])
