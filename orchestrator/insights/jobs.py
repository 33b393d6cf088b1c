"""What people see of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Table, and_, bindparam, or_, select

from orchestrator.errors import NotFound
from orchestrator.insights.paging import Page, page
from orchestrator.jobs import moves
from orchestrator.jobs.lifecycle import CreatedJob
from orchestrator.jobs.model import PAST_JOB_HISTORY, PAST_JOBS, Job, JobHistory
from orchestrator.jobs.states import STATE_NAMES, TERMINAL, Status
from orchestrator.past import live_of
from orchestrator.processes.model import Process, ProcessVersion
from orchestrator.resources.model import PAST_RESOURCES, Resource
from orchestrator.robots.lifecycle import Digest, called
from orchestrator.robots.model import Robot, RobotGroup
from orchestrator.transaction import Transaction

STATUS_BY_NAME = {name: status for status, name in STATE_NAMES.items()}
NEVER_HANDED = [Status.CREATED.value, Status.PENDING.value, Status.STOPPED.value]


@dataclass(frozen=True)
class JobView:
    """`robot` has or had the job, or is the one that it was asked for; `lease_until` is when the run counts
    as lost unless its robot is heard of; `stalled_at` is when it was found to make no progress;
    `resource` is the id of the one that it was created for."""

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
    stalled_after_seconds: int | None
    stalled_at: datetime | None


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
    version: int | None = None
    robot: str | None = None
    group: str | None = None
    priority: int | None = None
    attempt: int | None = None
    retry_of: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


TABLES = (live_of(Job), PAST_JOBS)
_EMPTY: dict[str, Any] = dict.fromkeys(Job.__table__.columns.keys())


def _jobs(table: Table) -> Any:
    columns = [table.c[column.name] for column in Job.__table__.columns]
    return (
        select(
            *columns,
            Process.name.label("process_name"),
            ProcessVersion.version.label("version_number"),
        )
        .join(Process, Process.id == table.c.process_id)
        .join(ProcessVersion, ProcessVersion.id == table.c.process_version_id)
    )


_MANY = [
    _jobs(table).where(
        table.c.tenant_id == bindparam("p_tenant_id"),
        table.c.guid.in_(bindparam("p_guids", expanding=True)),
    )
    for table in TABLES
]


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
    rows: list[Any] = []
    for query in _MANY:
        missing = sorted(set(guids) - {row.guid for row in rows})
        if missing:
            rows += tx.execute(query, {"p_tenant_id": tx.tenant_id, "p_guids": missing}).all()
    views = {view.guid: view for view in _views(tx, rows)}
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


def listed(
    tx: Transaction, filters: Filters, limit: int, cursor: str | None, digest: Digest
) -> Page[JobView]:
    live, past = [
        (
            _jobs(table).where(table.c.tenant_id == tx.tenant_id, *_conditions(tx, filters, table, digest)),
            table.c.id,
        )
        for table in TABLES
    ]
    in_history = past if _may_have_ended(filters) else None
    return page(tx, *live, limit, cursor, lambda rows: _views(tx, rows), in_history)


def _may_have_ended(filters: Filters) -> bool:
    asked = filters.status if filters.state is None else STATUS_BY_NAME[filters.state]
    return asked is None or asked in TERMINAL


def _conditions(tx: Transaction, filters: Filters, table: Table, digest: Digest) -> Iterable[Any]:
    jobs = table.c
    if filters.status is not None:
        yield jobs.status == filters.status
    if filters.state is not None:
        yield jobs.status == STATUS_BY_NAME[filters.state].value
    if filters.priority is not None:
        yield jobs.priority == filters.priority
    if filters.attempt is not None:
        yield jobs.attempt == filters.attempt
    if filters.version is not None:
        yield ProcessVersion.version == filters.version
    if filters.retry_of is not None:
        yield jobs.retry_of == filters.retry_of
    if filters.created_after is not None:
        yield jobs.created_at > filters.created_after
    if filters.created_before is not None:
        yield jobs.created_at < filters.created_before
    if filters.process is not None:
        by_either = or_(Process.name == filters.process, Process.public_id == filters.process.lower())
        yield jobs.process_id == _id_of(tx, Process, by_either)
    if filters.group is not None:
        yield jobs.target == f"group:{_id_of(tx, RobotGroup, RobotGroup.name == filters.group)}"
    if filters.robot is not None:
        yield _of_robot(jobs, _id_of(tx, Robot, called(filters.robot, digest)))


def _id_of(tx: Transaction, model: Any, which: Any) -> int:
    """The id of the one for which `which` holds; -1, which nothing has, where there is none."""
    query = select(model.id).where(model.tenant_id == tx.tenant_id, which).limit(1)
    return int(tx.execute(query).scalar() or -1)


def _of_robot(jobs: Any, robot_id: int) -> Any:
    # Both halves are an index's: one of robots, the other of the lines in which jobs wait.
    waits = and_(jobs.status.in_(NEVER_HANDED), jobs.target == f"robot:{robot_id}", jobs.robot_id <= 0)
    return or_(jobs.robot_id == robot_id, waits)


def history(tx: Transaction, guid: str) -> list[JobEvent]:
    """Every state, attempt, robot, fence and reason, in order."""
    job = found(tx, guid)
    lines = _lines(tx, live_of(JobHistory), job.id) or _lines(tx, PAST_JOB_HISTORY, job.id)
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
        for row in lines
    ]


def _lines(tx: Transaction, table: Table, job_id: int) -> Sequence[Any]:
    query = (
        select(*table.columns, Robot.name.label("robot_name"))
        .outerjoin(Robot, Robot.id == table.c.robot_id)
        .where(table.c.job_id == job_id, table.c.tenant_id == tx.tenant_id)
        .order_by(table.c.id)
    )
    found: Sequence[Any] = tx.execute(query).all()
    return found


def _views(tx: Transaction, rows: Sequence[Any]) -> list[JobView]:
    targets = [row.target.partition(":") for row in rows]
    asked = {int(key) for kind, _, key in targets if kind == "robot"}
    robots = names(tx, Robot, asked | {row.robot_id for row in rows if row.robot_id > 0})
    groups = names(tx, RobotGroup, {int(key) for kind, _, key in targets if kind == "group"})
    resources = _resources(tx, {row.resource_id for row in rows} - {None})
    return [_view(row, robots, groups, resources) for row in rows]


def _resources(tx: Transaction, ids: set[int]) -> dict[int, str]:
    live = names(tx, Resource, ids, Resource.public_id)
    missing = ids - live.keys()
    if not missing:
        return live
    past = PAST_RESOURCES.c
    query = select(past.id, past.public_id).where(past.tenant_id == tx.tenant_id, past.deleted_at.is_(None))
    return live | {row.id: row.public_id for row in tx.execute(query.where(past.id.in_(missing)))}


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
        stalled_after_seconds=row.stalled_after_seconds,
        stalled_at=row.stalled_at,
    )
