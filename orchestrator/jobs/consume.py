"""consumeNextJob: which job a robot gets, and that no other robot gets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, case, literal, select, union_all

from orchestrator.database import among
from orchestrator.jobs import for_resources, gate, moves, recovery
from orchestrator.jobs.for_resources import Input
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import History, JobWithdrawn
from orchestrator.jobs.states import LIVE, Event, Status
from orchestrator.limits.model import Admission
from orchestrator.limits.requirements import is_limited
from orchestrator.robots.model import RobotKind, RobotStatus
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction

CANDIDATES = 8
ROUNDS = 5  # looks at the heads, each after jobs that limits hold back have stepped aside


@dataclass(frozen=True)
class Consumed:
    """The job's row and the fence of its run, or no job; and the targets in whose lines nothing waits now.

    `input`: the resource that the job was created for.
    """

    job: Any | None = None
    fence: int = 0
    empty_targets: frozenset[str] = frozenset()
    input: Input | None = None


_COLUMNS = (*moves.BRIEF, Job.process_version_id, Job.priority, Job.arguments, Job.created_at)
_OWN = (
    select(*_COLUMNS)
    .where(
        Job.tenant_id == bindparam("p_tenant_id"),
        Job.robot_id == bindparam("p_robot_id"),
        among(Job.status, [Status.PENDING, *LIVE]),
    )
    .order_by(Job.id)
)


def _head(number: int) -> Any:
    line = (
        select(Job.id, Job.rank, Job.target)
        .where(
            Job.tenant_id == bindparam("p_tenant_id"),
            Job.status == Status.PENDING.value,
            Job.target == bindparam(f"p_target_{number}"),
            Job.robot_id == 0,
        )
        .order_by(Job.rank, Job.id)
        .limit(literal(CANDIDATES, literal_execute=True))
        .subquery(f"line_{number}")
    )
    return select(line.c.id, line.c.rank, line.c.target)


_HEADS = {count: union_all(*[_head(number) for number in range(count)]) for count in (1, 2, 3)}
_LIMITED = case((is_limited(Job.tenant_id, Job.process_id), Job.process_id)).label("limited_process_id")
_LOCK_FREE = (
    select(*_COLUMNS, _LIMITED)
    .where(
        Job.id == bindparam("p_job_id"),
        Job.tenant_id == bindparam("p_tenant_id"),
        Job.status == Status.PENDING.value,
        Job.robot_id == 0,
    )
    .with_for_update(skip_locked=True)
)


def targets(robot: Any) -> list[str]:
    """The lines in which a robot may look. An attended robot is a person's: it gets only what names it."""
    lines = [f"robot:{robot.id}"]
    if robot.kind == RobotKind.UNATTENDED:
        if robot.group_id:
            lines.append(f"group:{robot.group_id}")
        lines.append("any")
    return lines


def consume(tx: Transaction, robot: Any, status: int | None, lease: timedelta) -> Consumed:
    """Hand `robot` its next job: the same one again until it reports In_Progress, and never a second.

    The caller has locked the robot's row, so that two programs with one GUID come one after the other.
    A robot that asks with Status 2 while a job of its is in progress has lost that run (the protocol).
    """
    tx.step = "consume"
    own = tx.execute(_OWN, {"p_tenant_id": tx.tenant_id, "p_robot_id": robot.id}).all()
    for job in own:
        if job.status == Status.PENDING:
            given = for_resources.again(tx, job) if job.resource_id is not None else None
            return Consumed(job, job.fence, input=given)
        if status != RobotStatus.READY:
            return Consumed()
        recovery.lose(tx, job, "robot_said_ready", "The robot said that it was ready while this job ran.")
    if robot.paused_at is not None:
        return Consumed()
    # Who has just lost a run holds the locks of its limits, and waits for no others.
    return _take_next(tx, robot, lease, may_wait=not own)


def holds_jobs(tx: Transaction, tenant_id: int, target: str) -> bool:
    """Whether a job waits in this target's line."""
    return bool(tx.execute(_HEADS[1], {"p_tenant_id": tenant_id, "p_target_0": target}).all())


def _heads(tx: Transaction, lines: list[str]) -> list[Any]:
    """The first few jobs of each line, the best first."""
    asked: dict[str, Any] = {"p_tenant_id": tx.tenant_id}
    asked |= {f"p_target_{number}": target for number, target in enumerate(lines)}
    return sorted(tx.execute(_HEADS[len(lines)], asked).all(), key=lambda row: (row.rank, row.id))


def _take_next(tx: Transaction, robot: Any, lease: timedelta, *, may_wait: bool) -> Consumed:
    lines = targets(robot)
    holds_resource = False  # of a job that was looked at: it is locked until the end
    for _ in range(ROUNDS):
        heads = _heads(tx, lines)
        aside: set[int] = set()
        for head in heads:
            if head.id in aside:
                continue
            # One row by its key: a row that another robot is taking is passed over, not waited for.
            job = tx.execute(_LOCK_FREE, {"p_job_id": head.id, "p_tenant_id": tx.tenant_id}).one_or_none()
            if job is None:
                continue
            if job.resource_id is not None:
                is_first, holds_resource = may_wait and not holds_resource, True
                if not _is_to_be_had(tx, job, may_wait=is_first):
                    continue
            admission = gate.admit(tx, job, robot.id, may_wait=may_wait)
            if admission is Admission.REFUSED:
                aside |= gate.step_aside(tx, job)
                may_wait = False
            if admission is not Admission.GRANTED:
                continue
            given = _take(tx, robot, job, lease)
            others = {other.target for other in heads if other.id not in aside and other.id != job.id}
            return Consumed(job, job.fence + 1, frozenset(lines) - others, given)
        if not aside:
            break
    return Consumed(empty_targets=frozenset(lines) - {head.target for head in heads})


def _is_to_be_had(tx: Transaction, job: Any, *, may_wait: bool) -> bool:
    """Whether the job's resource is free for it. Where it will not be, the job has nothing to do: it is
    cancelled."""
    try:
        why = for_resources.obstacle(tx, job, may_wait=may_wait)
    except for_resources.Busy:
        return False
    if why is None:
        return True
    ended: dict[str, Any] = {
        "finished_at": tx.now,
        "reason": "resource_unavailable",
        "error": why,
        "lease_until": None,
    }
    moves.move(tx, Event.CANCEL, job, History(reason=why), **ended)
    tx.announce(JobWithdrawn(job.tenant_id, job.target))
    return False


def _take(tx: Transaction, robot: Any, job: Any, lease: timedelta) -> Input | None:
    taken = moves.move(
        tx,
        Event.CONSUME,
        job,
        fence_grows=True,
        robot_id=robot.id,
        consumed_at=tx.now,
        lease_until=tx.now + lease,
    )
    assert taken  # noqa: S101  (the row is locked)
    runs.begin(tx, job, robot.id, job.fence + 1, job.limited_process_id)
    tx.announce(moves.RunBound(robot.id, job.guid))
    return for_resources.begin(tx, job, robot.id) if job.resource_id is not None else None
