"""What people and programs ask of jobs: create, stop, abort, retry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, select

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, FieldError, Invalid, NotAllowedNow, NotFound
from orchestrator.jobs import for_resources, moves
from orchestrator.jobs.dispatch import DISPATCH_ATTEMPTS
from orchestrator.jobs.model import Job
from orchestrator.jobs.moves import JobWithdrawn, OrderGiven
from orchestrator.jobs.report import end_run
from orchestrator.jobs.states import (
    CODE_ABORTING,
    CODE_STOPPING,
    LIVE,
    STATE_NAMES,
    TERMINAL,
    Event,
    Status,
)
from orchestrator.processes import lifecycle as processes
from orchestrator.processes.lifecycle import FoundVersion
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.lifecycle import Digest
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import TaskKind
from orchestrator.transaction import Transaction

JOBS_IN_ONE_REQUEST = 1000


@dataclass
class NewJob:
    """An order for a run; robots, groups and processes by id or name, a robot also by its GUID. `guid` is
    given before the transaction, so that a retried transaction makes the same job and not a second one."""

    process: str
    version: int | None = None
    robot: str | None = field(default=None, repr=False)  # its GUID is a password
    group: str | None = None
    resource: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    not_before: datetime | None = None
    max_attempts: int = 1
    on_lost: str = "fail"
    max_run_seconds: int | None = None
    retry_of: str | None = None
    guid: str = field(default_factory=new_guid)


_INSERT = insert(Job)
_IDS = select(Job.guid, Job.id).where(
    Job.tenant_id == bindparam("p_tenant_id"), Job.guid.in_(bindparam("p_guids", expanding=True))
)


@dataclass(frozen=True)
class CreatedJob:
    """The values of a new job's row, as they were inserted; the other columns are NULL."""

    values: dict[str, Any]
    version: FoundVersion


def create(tx: Transaction, orders: Sequence[NewJob], digest: Digest | None = None) -> list[CreatedJob]:
    """Create all of `orders` or none. Errors name the field, with its place in a list. A robot is found by
    its GUID too where `digest` is given."""
    tx.step = "create"
    created = _created(tx, orders, digest)
    rows = [job.values for job in created]
    guids = [row["guid"] for row in rows]
    ids = _insert(tx, rows)
    audit.record(tx, "job.create", guids[0], count=len(guids), process=orders[0].process)
    places = enqueue(tx, [_dispatch_task(row, ids[row["guid"]]) for row in rows])
    lines = [
        moves.history_line(
            tx,
            "create",
            ids[row["guid"]],
            Status.CREATED,
            attempt=1,
            fence=0,
            robot_id=0,
            history=moves.History(reason=row["reason"], partition=partition, seq=seq),
        )
        for row, (partition, seq) in zip(rows, places, strict=True)
    ]
    moves.write_history(tx, lines)
    return created


def _insert(tx: Transaction, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Insert the jobs; return their ids by GUID. One job's id comes with the answer to its INSERT."""
    if len(rows) == 1:
        return {rows[0]["guid"]: tx.execute(_INSERT, rows[0]).inserted_primary_key[0]}
    tx.execute(_INSERT, rows)
    asked = {"p_tenant_id": tx.tenant_id, "p_guids": [row["guid"] for row in rows]}
    return {row.guid: row.id for row in tx.execute(_IDS, asked)}


def _dispatch_task(row: dict[str, Any], job_id: int) -> NewTask:
    return NewTask(
        TaskKind.DISPATCH,
        subject_id=job_id,
        rank=row["rank"],
        not_before=row["not_before"],
        max_attempts=DISPATCH_ATTEMPTS,
    )


def _created(tx: Transaction, orders: Sequence[NewJob], digest: Digest | None) -> list[CreatedJob]:
    resolve = _Resolver(tx, digest)
    created, errors = [], []
    for index, order in enumerate(orders):
        try:
            created.append(_one(tx, resolve, order))
        except Invalid as invalid:
            place = f"{index}." if len(orders) > 1 else ""
            errors += [FieldError(place + error.field, error.message) for error in invalid.errors]
    if errors:
        raise Invalid(errors=errors)
    return created


def _one(tx: Transaction, resolve: _Resolver, order: NewJob) -> CreatedJob:
    found = resolve.version(order.process, order.version)
    values = {
        "tenant_id": tx.tenant_id,
        "guid": order.guid,
        "process_id": found.process_id,
        "process_version_id": found.version_id,
        "status": Status.CREATED.value,
        "priority": order.priority,
        "rank": 100 - order.priority,
        "target": resolve.target(order.robot, order.group),
        "resource_id": for_resources.find(tx, order.resource, order.arguments) if order.resource else None,
        "arguments": order.arguments,
        "max_attempts": order.max_attempts,
        "on_lost": order.on_lost,
        "max_run_seconds": order.max_run_seconds,
        "stalled_after_seconds": found.stalled_after_seconds,
        "on_stalled": found.on_stalled,
        "retry_of": order.retry_of,
        "created_by": str(tx.actor)[:200],
        "attempt": 1,
        "fence": 0,
        "robot_id": 0,
        "reason": "retry" if order.retry_of else None,
        "not_before": order.not_before,
        "created_at": tx.now,
    }
    return CreatedJob(values, found)


class _Resolver:
    """Names to ids, each looked up once for a whole list."""

    def __init__(self, tx: Transaction, digest: Digest | None) -> None:
        self._tx = tx
        self._digest = digest
        self._versions: dict[tuple[str, int | None], FoundVersion] = {}
        self._targets: dict[tuple[str | None, str | None], str] = {}

    def version(self, process: str, version: int | None) -> FoundVersion:
        key = (process, version)
        if key not in self._versions:
            self._versions[key] = processes.find_version(self._tx, process, version)
        return self._versions[key]

    def target(self, robot: str | None, group: str | None) -> str:
        key = (robot, group)
        if key not in self._targets:
            self._targets[key] = find_target(self._tx, robot, group, self._digest)
        return self._targets[key]


def find_target(tx: Transaction, robot: str | None, group: str | None, digest: Digest | None = None) -> str:
    """Who may take a job, as its row says it. Raises `Invalid` that names the field."""
    if robot and group:
        raise Invalid.field("group", "give a robot or a group, not both")
    if robot:
        found = robots.find(tx, robot, digest)
        if found is None:
            raise Invalid.field("robot", f"there is {robots.nobody(robot)}")
        return f"robot:{found.id}"
    if group:
        return f"group:{robots.group_named(tx, group)}"
    return "any"


def names_of_target(tx: Transaction, target: str) -> tuple[str | None, str | None]:
    """The robot (by its public id) or the group of a target. Raises `Conflict` where the robot is gone."""
    kind, _, key = target.partition(":")
    if kind == "robot":
        robot = robots.find_by_id(tx, int(key))
        if robot is None or robot.deleted_at is not None:
            raise Conflict("The robot that this job was for has been deleted; create a new job instead.")
        return robot.public_id, None
    return None, robots.group_name(tx, int(key)) if kind == "group" else None


def stop(tx: Transaction, guid: str) -> None:
    """Ask for a clean end: a waiting job is cancelled, a running one told at its next heartbeat."""
    job = _existing(tx, guid, lock=True)
    if job.status == Status.STOPPING:
        return
    if not _cancel(tx, job) and not moves.move(tx, Event.STOP, job, stop_requested_at=tx.now):
        raise _refusal(job, "stopped")
    _told(tx, job, "job.stop", CODE_STOPPING)


def abort(tx: Transaction, guid: str, grace: timedelta) -> None:
    """Ask for a hard end: a waiting job is cancelled, a running one killed at its next heartbeat.

    A robot that has not answered within `grace` no longer decides: the job then ends Failed.
    """
    job = _existing(tx, guid, lock=True)
    if job.status == Status.ABORTING:
        return
    asked: dict[str, Any] = {"abort_requested_at": tx.now, "run_until": tx.now + grace}
    if not _cancel(tx, job) and not moves.move(tx, Event.ABORT, job, **asked):
        raise _refusal(job, "aborted")
    _told(tx, job, "job.abort", CODE_ABORTING)


def _cancel(tx: Transaction, job: Any) -> bool:
    """End a job that has not begun; where a robot has already taken it, its run ends with it."""
    robot_id = max(job.robot_id, 0)  # held back by limits, it is no robot's
    ended: dict[str, Any] = {"finished_at": tx.now, "reason": "cancelled", "lease_until": None}
    cancelled = moves.move(tx, Event.CANCEL, job, robot_id=robot_id, **ended)
    if cancelled and robot_id:
        end_run(tx, job)
    elif cancelled and job.status == Status.PENDING:
        tx.announce(JobWithdrawn(job.tenant_id, job.target))
    return cancelled


def _told(tx: Transaction, job: Any, action: str, code: int) -> None:
    audit.record(tx, action, job.guid)
    if job.status in LIVE:
        tx.announce(OrderGiven(job.robot_id, job.guid, code))


def retry(tx: Transaction, guid: str, new: str) -> str:
    """Create a new job (with the GUID `new`) like an ended one, which it names. Returns its GUID."""
    job = _existing(tx, guid)
    if job.status not in TERMINAL:
        raise NotAllowedNow(
            f"Job {guid} is {STATE_NAMES[Status(job.status)]}; only an ended job can be retried.", job.status
        )
    robot, group = names_of_target(tx, job.target)
    order = NewJob(
        process=processes.name_of(tx, job.process_id),
        version=processes.version_number(tx, job.process_version_id),
        robot=robot,
        group=group,
        resource=for_resources.renew(tx, job),
        arguments=job.arguments,
        priority=job.priority,
        max_attempts=job.max_attempts,
        on_lost=job.on_lost,
        max_run_seconds=job.max_run_seconds,
        retry_of=job.guid,
        guid=new,
    )
    create(tx, [order])
    return new


def _existing(tx: Transaction, guid: str, *, lock: bool = False) -> Any:
    job = moves.find(tx, guid, lock=lock)
    if job is None:
        raise NotFound(f"There is no job {guid}.")
    return job


def _refusal(job: Any, what: str) -> NotAllowedNow:
    name = STATE_NAMES[Status(job.status)]
    return NotAllowedNow(f"Job {job.guid} is {name} and can no longer be {what}.", job.status)
