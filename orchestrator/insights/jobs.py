"""What people see of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import and_, bindparam, or_, select

from orchestrator.errors import NotFound
from orchestrator.insights.paging import Page, page
from orchestrator.jobs import moves
from orchestrator.jobs.lifecycle import CreatedJob
from orchestrator.jobs.model import Job, JobHistory
from orchestrator.jobs.states import STATE_NAMES, Status
from orchestrator.processes.model import Process, ProcessVersion
from orchestrator.resources.model import Resource
from orchestrator.robots.model import Robot, RobotGroup
from orchestrator.transaction import Transaction

STATUS_BY_NAME = {name: status for status, name in STATE_NAMES.items()}
NEVER_HANDED = [Status.CREATED.value, Status.PENDING.value, Status.STOPPED.value]


@dataclass(frozen=True)
class JobView:
    """`robot` has or had the job, or is the one that it was asked for; `lease_until` is when the run counts
    as lost unless its robot is heard of; `resource` is the id of the one that it was created for."""

    guid: str
    process: str
    version: int
    status: int
    state: str
    robot: str | None
    group: str | None
    resource: str | None
    arguments: Any
    priority: int
    not_before: datetime | None
    max_attempts: int
    attempt: int
    on_lost: str
    max_run_seconds: int | None
    progress: int | None
    result: Any
    error: str | None
    reason: str | None
    retry_of: str | None
    created_by: str
    created_at: datetime
    pending_at: datetime | None
    consumed_at: datetime | None
    started_at: datetime | None
    stop_requested_at: datetime | None
    abort_requested_at: datetime | None
    finished_at: datetime | None
    lease_until: datetime | None


@dataclass(frozen=True)
class JobEvent:
    """One line of a job's history. `partition` and `seq` say its place among the tasks that handed it out."""

    at: datetime
    event: str
    status: int
    state: str
    attempt: int
    fence: int
    robot: str | None
    actor: str
    reason: str | None
    partition: int | None
    seq: int | None


@dataclass(frozen=True)
class Filters:
    """Times compare with the time of creation."""

    status: int | None = None
    state: str | None = None
    process: str | None = None
    robot: str | None = None
    group: str | None = None
    priority: int | None = None
    retry_of: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


_JOBS = (
    select(
        *Job.__table__.columns,
        Process.name.label("process_name"),
        ProcessVersion.version.label("version_number"),
    )
    .join(Process, Process.id == Job.process_id)
    .join(ProcessVersion, ProcessVersion.id == Job.process_version_id)
)
_EMPTY: dict[str, Any] = dict.fromkeys(Job.__table__.columns.keys())
_MANY = _JOBS.where(
    Job.tenant_id == bindparam("p_tenant_id"), Job.guid.in_(bindparam("p_guids", expanding=True))
)


def found(tx: Transaction, guid: str) -> Any:
    """The job's row. Raises `NotFound`."""
    row = moves.find(tx, guid)
    if row is None:
        raise NotFound(f"There is no job {guid}.")
    return row


def one(tx: Transaction, guid: str) -> JobView:
    return many(tx, [found(tx, guid).guid])[0]


def many(tx: Transaction, guids: Sequence[str]) -> list[JobView]:
    """These jobs, in this order."""
    asked = {"p_tenant_id": tx.tenant_id, "p_guids": guids}
    views = {view.guid: view for view in _views(tx, tx.execute(_MANY, asked).all())}
    return [views[guid] for guid in guids]


def created(tx: Transaction, jobs: Sequence[CreatedJob]) -> list[JobView]:
    """What was created in this transaction, in this order, without reading it again."""
    rows = [
        SimpleNamespace(
            **_EMPTY | job.values, process_name=job.version.process, version_number=job.version.number
        )
        for job in jobs
    ]
    return _views(tx, rows)


def listed(tx: Transaction, filters: Filters, limit: int, cursor: str | None) -> Page[JobView]:
    query = _JOBS.where(Job.tenant_id == tx.tenant_id, *_conditions(tx, filters))
    return page(tx, query, Job.id, limit, cursor, lambda rows: _views(tx, rows))


def _conditions(tx: Transaction, filters: Filters) -> Iterable[Any]:
    if filters.status is not None:
        yield Job.status == filters.status
    if filters.state is not None:
        yield Job.status == STATUS_BY_NAME[filters.state].value
    if filters.priority is not None:
        yield Job.priority == filters.priority
    if filters.retry_of is not None:
        yield Job.retry_of == filters.retry_of
    if filters.created_after is not None:
        yield Job.created_at > filters.created_after
    if filters.created_before is not None:
        yield Job.created_at < filters.created_before
    if filters.process is not None:
        yield Job.process_id == _id_of(tx, Process, filters.process)
    if filters.group is not None:
        yield Job.target == f"group:{_id_of(tx, RobotGroup, filters.group)}"
    if filters.robot is not None:
        yield _of_robot(_id_of(tx, Robot, filters.robot))


def _id_of(tx: Transaction, model: Any, key: str) -> int:
    """The id of what has this name or public id; -1, which nothing has, where there is none."""
    by = [model.name == key]
    if hasattr(model, "public_id"):
        by.append(model.public_id == key.lower())
    query = select(model.id).where(model.tenant_id == tx.tenant_id, or_(*by)).limit(1)
    return int(tx.execute(query).scalar() or -1)


def _of_robot(robot_id: int) -> Any:
    # Both halves are an index's: one of robots, the other of the lines in which jobs wait.
    waits = and_(Job.status.in_(NEVER_HANDED), Job.target == f"robot:{robot_id}", Job.robot_id <= 0)
    return or_(Job.robot_id == robot_id, waits)


def history(tx: Transaction, guid: str) -> list[JobEvent]:
    """Every state, attempt, robot, fence and reason, in order."""
    job = found(tx, guid)
    query = (
        select(*JobHistory.__table__.columns, Robot.name.label("robot_name"))
        .outerjoin(Robot, Robot.id == JobHistory.robot_id)
        .where(JobHistory.job_id == job.id, JobHistory.tenant_id == tx.tenant_id)
        .order_by(JobHistory.id)
    )
    return [
        JobEvent(
            at=row.at,
            event=row.event,
            status=row.status,
            state=STATE_NAMES[Status(row.status)],
            attempt=row.attempt,
            fence=row.fence,
            robot=row.robot_name,
            actor=row.actor,
            reason=row.reason,
            partition=row.partition,
            seq=row.seq,
        )
        for row in tx.execute(query)
    ]


def _views(tx: Transaction, rows: Sequence[Any]) -> list[JobView]:
    targets = [row.target.partition(":") for row in rows]
    asked = {int(key) for kind, _, key in targets if kind == "robot"}
    robots = names(tx, Robot, asked | {row.robot_id for row in rows if row.robot_id > 0})
    groups = names(tx, RobotGroup, {int(key) for kind, _, key in targets if kind == "group"})
    resources = names(tx, Resource, {row.resource_id for row in rows} - {None}, Resource.public_id)
    return [_view(row, robots, groups, resources) for row in rows]


def names(tx: Transaction, model: Any, ids: Iterable[int], name: Any = None) -> dict[int, str]:
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    columns = (model.id, model.name if name is None else name)
    query = select(*columns).where(model.tenant_id == tx.tenant_id, model.id.in_(wanted))
    return {row[0]: row[1] for row in tx.execute(query)}


def _view(row: Any, robots: dict[int, str], groups: dict[int, str], resources: dict[int, str]) -> JobView:
    kind, _, key = row.target.partition(":")
    robot_id = max(row.robot_id, 0) or (int(key) if kind == "robot" else 0)
    return JobView(
        guid=row.guid,
        process=row.process_name,
        version=row.version_number,
        status=row.status,
        state=STATE_NAMES[Status(row.status)],
        robot=robots.get(robot_id),
        group=groups.get(int(key)) if kind == "group" else None,
        resource=resources.get(row.resource_id),
        arguments=row.arguments,
        priority=row.priority,
        not_before=row.not_before,
        max_attempts=row.max_attempts,
        attempt=row.attempt,
        on_lost=row.on_lost,
        max_run_seconds=row.max_run_seconds,
        progress=row.progress,
        result=row.result,
        error=row.error,
        reason=row.reason,
        retry_of=row.retry_of,
        created_by=row.created_by,
        created_at=row.created_at,
        pending_at=row.pending_at,
        consumed_at=row.consumed_at,
        started_at=row.started_at,
        stop_requested_at=row.stop_requested_at,
        abort_requested_at=row.abort_requested_at,
        finished_at=row.finished_at,
        lease_until=row.lease_until,
    )
