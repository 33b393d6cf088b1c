"""job/update: what a robot says of its job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, select, update

from orchestrator.errors import NotAllowedNow, NotFound
from orchestrator.jobs import for_resources, gate, moves, stalls
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import History, RunBound, RunEnded
from orchestrator.jobs.states import LIVE, ROBOT_EVENTS, STATE_NAMES, TERMINAL, Status
from orchestrator.limits.breakers import Ended
from orchestrator.past import live_of
from orchestrator.resources import recovery as resources
from orchestrator.runs import lifecycle as runs
from orchestrator.runs.model import PAST_RUNS, Run
from orchestrator.transaction import Transaction

ERROR_LIMIT = 10_000
ENDED = {Status.SUCCESS: Ended.SUCCEEDED, Status.FAILED: Ended.FAILED}


@dataclass(frozen=True)
class Report:
    """`progress` is a percentage; `result` any JSON; `fence`, where given, must be the run's own."""

    guid: str
    status: Status
    result: Any = None
    error: str | None = None
    progress: int | None = None
    fence: int | None = None


_HAD_IT, _HAD_IT_ONCE = [
    select(table.c.id)
    .where(
        table.c.job_id == bindparam("p_job_id"),
        table.c.robot_id == bindparam("p_robot_id"),
        table.c.tenant_id == bindparam("p_tenant_id"),
    )
    .limit(1)
    for table in (live_of(Run), PAST_RUNS)
]


def report(tx: Transaction, robot: Any, told: Report) -> Status:
    """Accept the robot's word, or refuse it; return the state that now holds.

    Said again, what already holds is accepted and changes nothing (but the progress of a running job).
    Raises `NotFound` for a job that this robot never consumed, `NotAllowedNow` for any other transition.
    """
    tx.step = "report"
    job = _own(tx, robot, told)
    if job.status == told.status:
        _note_progress(tx, job, told)
        return told.status
    event = ROBOT_EVENTS.get(told.status)
    if event is None or not moves.move(
        tx, event, job, History(reason=_first_line(told)), **_values(tx, told, job)
    ):
        # Either the table of transitions says no, or somebody moved the job between our two statements.
        now = _own(tx, robot, told)
        if now.status == told.status:
            return told.status
        raise _refusal(now, told)
    if told.status in TERMINAL:
        if job.resource_id is not None and told.status in (Status.SUCCESS, Status.FAILED):
            succeeded, error = told.status == Status.SUCCESS, told.error[:ERROR_LIMIT] if told.error else None
            for_resources.settle(tx, job, succeeded=succeeded, result=told.result, error=error)
        end_run(tx, job, ENDED.get(told.status, Ended.OTHERWISE))
    else:
        tx.announce(RunBound(robot.id, job.guid))
    return told.status


def end_run(tx: Transaction, job: Any, ended: Ended = Ended.OTHERWISE) -> None:
    """A run is over: its row is closed, and its locks and permits go in the same transaction."""
    for run in runs.end(tx, job.id):
        if run.uses_resources:
            resources.run_ended(tx, run.id)
        if run.limited_process_id is not None:
            gate.run_ended(tx, job, run.limited_process_id, ended)
    if job.robot_id:
        tx.announce(RunEnded(job.robot_id, job.guid))


def _own(tx: Transaction, robot: Any, told: Report) -> Any:
    job = moves.find_brief(tx, told.guid)
    if job is not None and job.robot_id == robot.id:
        if told.fence is not None and told.fence != job.fence:
            raise NotAllowedNow(
                f"fence: {told.fence} is not this run's ({job.fence}): another attempt has begun since.",
                job.status,
            )
        return job
    asked = {"p_job_id": job.id if job else 0, "p_robot_id": robot.id, "p_tenant_id": tx.tenant_id}
    if job is not None and (tx.execute(_HAD_IT, asked).first() or tx.execute(_HAD_IT_ONCE, asked).first()):
        raise NotAllowedNow(
            "This robot's run of the job is over: the job has passed to another attempt.", job.status
        )
    raise NotFound("This robot has no such job.")


def _refusal(job: Any, told: Report) -> NotAllowedNow:
    present = STATE_NAMES[Status(job.status)]
    return NotAllowedNow(
        f"The job is {present} ({job.status}) and cannot become {STATE_NAMES[told.status]}.", job.status
    )


def _values(tx: Transaction, told: Report, job: Any) -> dict[str, Any]:
    if told.status == Status.IN_PROGRESS:
        # Lease-based only from the first working heartbeat on, which the protocol leaves optional.
        limit = job.max_run_seconds
        run_until = tx.now + timedelta(seconds=limit) if limit else None
        watched = stalls.values_at_start(job, tx.now)
        return {"started_at": tx.now, "lease_until": None, "run_until": run_until, **watched}
    values: dict[str, Any] = {"finished_at": tx.now, "lease_until": None, "run_until": None}
    if told.result is not None:
        values["result"] = told.result
    if told.error:
        values["error"] = told.error[:ERROR_LIMIT]
    if told.progress is not None:
        values["progress"] = told.progress
    if told.status == Status.FAILED:
        values["reason"] = "robot_reported"
    return values


def _first_line(told: Report) -> str | None:
    return told.error.strip().splitlines()[-1] if told.error and told.error.strip() else None


def _note_progress(tx: Transaction, job: Any, told: Report) -> None:
    if told.progress is None or told.status not in LIVE or told.progress == job.progress:
        return
    tx.execute(
        update(Job)
        .where(Job.id == job.id, Job.tenant_id == tx.tenant_id, Job.fence == job.fence)
        .where(Job.status.in_([status.value for status in LIVE]))
        .values(progress=told.progress)
    )
    stalls.note_progress(tx, job)
