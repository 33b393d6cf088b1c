"""How a job moves: the guarded UPDATE of one event of the state machine, and its line of history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from orchestrator.database import kept_guid
from orchestrator.jobs.model import PAST_JOBS, Job, JobHistory
from orchestrator.jobs.states import TERMINAL, TRANSITIONS, Event, Status
from orchestrator.transaction import Fact, Transaction


@dataclass(frozen=True)
class JobsOffered(Fact):
    """Jobs wait in these targets' lines: robots may be told, one for each job."""

    targets: tuple[str, ...]


def line_key(job: Any) -> str:
    """The line a job waits in, named across tenants: ids of robots and groups are unique, «any» is not."""
    return f"any:{job.tenant_id}" if job.target == "any" else str(job.target)


@dataclass(frozen=True)
class JobWithdrawn(Fact):
    """A waiting job has left this target's line otherwise than to a robot: nothing may wait there now."""

    tenant_id: int
    target: str


@dataclass(frozen=True)
class RunBound(Fact):
    """A robot has this job from now on."""

    robot_id: int
    job_guid: str


@dataclass(frozen=True)
class RunEnded(Fact):
    """A robot has this job no longer."""

    robot_id: int
    job_guid: str


@dataclass(frozen=True)
class JobEnded(Fact):
    """A job has come to a state from which nothing leads on, however it came there."""

    tenant_id: int
    job_id: int
    process_id: int
    status: Status


@dataclass(frozen=True)
class OrderGiven(Fact):
    """The robot is to be told at its next heartbeat: 20 stop, 10 abort (the protocol's codes)."""

    robot_id: int
    job_guid: str
    code: int


@dataclass(frozen=True)
class History:
    """What a line of history says beyond the move itself."""

    reason: str | None = None
    partition: int | None = None
    seq: int | None = None


# What moving a job takes of its row. Arguments, results and errors can be large, and PyMySQL takes as long to
# read the description of a column as its value.
BRIEF = (
    Job.id,
    Job.tenant_id,
    Job.guid,
    Job.process_id,
    Job.status,
    Job.target,
    Job.rank,
    Job.attempt,
    Job.max_attempts,
    Job.on_lost,
    Job.fence,
    Job.robot_id,
    Job.resource_id,
    Job.lease_until,
    Job.max_run_seconds,
    Job.stalled_after_seconds,
    Job.progress,
)

_NOTHING_MORE = History()
_INSERT_HISTORY = insert(JobHistory)


@cache
def _guarded(event: Event, columns: tuple[str, ...], fence_grows: bool) -> Any:
    # Built once: building a statement costs four times what executing it does.
    transition = TRANSITIONS[event]
    values: dict[str, Any] = {column: bindparam(f"p_{column}") for column in columns}
    values["status"] = transition.target.value
    if fence_grows:
        values["fence"] = Job.fence + 1
    return (
        update(Job)
        .where(
            Job.id == bindparam("p_id"),
            Job.tenant_id == bindparam("p_tenant_id"),
            Job.fence == bindparam("p_old_fence"),
            or_(*[Job.status == source.value for source in sorted(transition.sources)]),
        )
        .values(values)
    )


def move(
    tx: Transaction,
    event: Event,
    job: Any,
    history: History = _NOTHING_MORE,
    *,
    fence_grows: bool = False,
    **values: Any,
) -> bool:
    """Move one job, whose row (id, fence, attempt, robot_id) the caller has read; say whether it did.

    False means that the job has meanwhile moved otherwise, or has another fence: nothing was changed.
    """
    statement = _guarded(event, tuple(sorted(values)), fence_grows)
    parameters = {f"p_{column}": value for column, value in values.items()}
    parameters |= {"p_id": job.id, "p_tenant_id": tx.tenant_id, "p_old_fence": job.fence}
    if tx.execute(statement, parameters).rowcount != 1:
        return False
    fence = job.fence + 1 if fence_grows else job.fence
    line = history_line(
        tx,
        event,
        job.id,
        TRANSITIONS[event].target,
        attempt=values.get("attempt", job.attempt),
        fence=fence,
        robot_id=values.get("robot_id", job.robot_id),
        history=history,
    )
    write_history(tx, [line])
    if TRANSITIONS[event].target in TERMINAL:
        tx.announce(JobEnded(tx.tenant_id, job.id, job.process_id, TRANSITIONS[event].target))
    return True


def history_line(
    tx: Transaction,
    event: Event | str,
    job_id: int,
    status: Status,
    *,
    attempt: int,
    fence: int,
    robot_id: int,
    history: History = _NOTHING_MORE,
) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "job_id": job_id,
        "at": tx.now,
        "event": str(event),
        "status": status.value,
        "attempt": attempt,
        "fence": fence,
        "robot_id": robot_id,
        "actor": str(tx.actor)[:200],
        "reason": history.reason[:200] if history.reason else None,
        "partition": history.partition,
        "seq": history.seq,
    }


def write_history(tx: Transaction, lines: Sequence[dict[str, Any]]) -> None:
    if lines:
        tx.execute(_INSERT_HISTORY, list(lines))


_OF_GUID = (Job.tenant_id == bindparam("p_tenant_id"), Job.guid == bindparam("p_guid"))
_BY_GUID = select(*Job.__table__.columns).where(*_OF_GUID)
_LOCK_BY_GUID = _BY_GUID.with_for_update()
_BRIEF_BY_GUID = select(*BRIEF).where(*_OF_GUID)
_PAST_BY_GUID = select(*PAST_JOBS.columns).where(
    PAST_JOBS.c.tenant_id == bindparam("p_tenant_id"), PAST_JOBS.c.guid == bindparam("p_guid")
)


def find(tx: Transaction, guid: str, *, lock: bool = False) -> Any | None:
    """The job's row, or None where this tenant has no such job."""
    return _live_or_past(tx, _LOCK_BY_GUID if lock else _BY_GUID, guid)


def find_brief(tx: Transaction, guid: str) -> Any | None:
    """The job's row, of which the caller needs no more than the columns `BRIEF`."""
    return _live_or_past(tx, _BRIEF_BY_GUID, guid)


def _live_or_past(tx: Transaction, query: Any, guid: str) -> Any | None:
    """A job in history has ended: no event moves it, and what is said of it is answered as before."""
    asked = _asked(tx, guid)
    return tx.execute(query, asked).one_or_none() or tx.execute(_PAST_BY_GUID, asked).one_or_none()


def _asked(tx: Transaction, guid: str) -> dict[str, Any]:
    return {"p_tenant_id": tx.tenant_id, "p_guid": kept_guid(guid)}
