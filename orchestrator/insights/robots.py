"""What people see of robots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from redis import RedisError
from sqlalchemy import select

from orchestrator.insights.paging import Page, page
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import LIVE, Status
from orchestrator.robots import lifecycle
from orchestrator.robots.doubles import SHOWN_FOR
from orchestrator.robots.model import Robot, RobotGroup, RobotStatus
from orchestrator.robots.presence import Presence
from orchestrator.transaction import Transaction

STATE_NAMES = {status: status.name.capitalize() for status in RobotStatus}
HELD = [Status.PENDING.value, *[status.value for status in sorted(LIVE)]]


@dataclass(frozen=True)
class Doubled:
    """Two programs speak with the robot's GUID: the other one, when it was heard, and when both last were."""

    at: datetime
    machine: str
    ip: str
    mac: str
    instance: str
    other_seen: datetime


@dataclass(frozen=True)
class RobotView:
    """`guid` is the GUID itself only in the answer to creation, else the public id. `status` is the robot's
    word for itself (0 Disconnected, 1 Unlicensed, 2 Ready, 3 Working), `job` the GUID of the job it has."""

    id: str
    guid: str
    name: str
    kind: str
    group: str | None
    status: int
    state: str
    last_seen: datetime | None
    job: str | None
    machine: str
    ip: str
    mac: str
    instance: str
    doubled: Doubled | None
    paused: bool
    node: str
    account: str
    has_secret: bool
    created_at: datetime


@dataclass(frozen=True)
class Filters:
    name: str | None = None
    kind: str | None = None
    group: str | None = None
    status: int | None = None
    state: str | None = None
    paused: bool | None = None
    node: str | None = None
    machine: str | None = None
    ip: str | None = None
    mac: str | None = None


_ROBOTS = select(*Robot.__table__.columns, RobotGroup.name.label("group_name")).outerjoin(
    RobotGroup, RobotGroup.id == Robot.group_id
)

Look = Callable[[Sequence[RobotView], Sequence[int]], list[RobotView]]


def one(tx: Transaction, robot_id: int, presence: Presence) -> RobotView:
    """A robot that the caller has just found or changed."""
    row = tx.execute(_ROBOTS.where(Robot.id == robot_id, Robot.tenant_id == tx.tenant_id)).one()
    return _views(tx, [row], presence)[0]


def named(tx: Transaction, key: str, digest: lifecycle.Digest, presence: Presence) -> RobotView:
    """The robot with this id, name or GUID. Raises `NotFound`."""
    return one(tx, lifecycle.existing(tx, key, digest).id, presence)


def listed(
    tx: Transaction, filters: Filters, limit: int, cursor: str | None, presence: Presence
) -> Page[RobotView]:
    query = _ROBOTS.where(Robot.tenant_id == tx.tenant_id, Robot.deleted_at.is_(None))
    for column in ("name", "kind", "status", "node", "machine", "ip", "mac"):
        wanted = getattr(filters, column)
        if wanted is not None:
            query = query.where(getattr(Robot, column) == wanted)
    if filters.state is not None:
        query = query.where(Robot.status == RobotStatus[filters.state.upper()].value)
    if filters.group is not None:
        query = query.where(RobotGroup.name == filters.group)
    if filters.paused is not None:
        query = query.where(Robot.paused_at.is_not(None) if filters.paused else Robot.paused_at.is_(None))
    return page(tx, query, Robot.id, limit, cursor, lambda rows: _views(tx, rows, presence))


def has_live_job(tx: Transaction, robot_id: int) -> bool:
    """Whether the robot has been handed a job that has not ended."""
    query = select(Job.id).where(
        Job.robot_id == robot_id, Job.tenant_id == tx.tenant_id, Job.status.in_(HELD)
    )
    return tx.execute(query.limit(1)).first() is not None


def _views(tx: Transaction, rows: Sequence[Any], presence: Presence) -> list[RobotView]:
    ids = [row.id for row in rows]
    if not ids:
        return []
    held = select(Job.robot_id, Job.guid).where(
        Job.tenant_id == tx.tenant_id, Job.robot_id.in_(ids), Job.status.in_(HELD)
    )
    jobs = {row.robot_id: row.guid for row in tx.execute(held)}
    return _overlaid(tx, ids, [_view(row, jobs.get(row.id), tx.now) for row in rows], presence)


def _overlaid(
    tx: Transaction, ids: Sequence[int], views: list[RobotView], presence: Presence
) -> list[RobotView]:
    """Heartbeats reach SQL in batches: what Redis knows is newer. A robot that it does not know may be
    silent, or have taken the slow way; then what SQL says stands."""
    try:
        seen = presence.look(ids)
    except RedisError:
        return views
    return [
        view
        if beat is None
        else replace(
            view,
            status=beat.status,
            state=STATE_NAMES[RobotStatus(beat.status)],
            last_seen=tx.now - timedelta(seconds=beat.seconds_ago),
        )
        for view, beat in zip(views, seen, strict=True)
    ]


def doubled(row: Any, now: datetime) -> Doubled | None:
    """The other program of a robot's GUID, where both were heard within the last minutes."""
    if row.doubled_at is None or row.other is None or row.doubled_at < now - SHOWN_FOR:
        return None
    other = {name: row.other[name] for name in ("machine", "ip", "mac", "instance")}
    return Doubled(at=row.doubled_at, other_seen=datetime.fromisoformat(row.other["at"]), **other)


def _view(row: Any, job: str | None, now: datetime) -> RobotView:
    return RobotView(
        id=row.public_id,
        guid=row.public_id,
        name=row.name,
        kind=row.kind,
        group=row.group_name,
        status=row.status,
        state=STATE_NAMES[RobotStatus(row.status)],
        last_seen=row.last_seen,
        job=job,
        machine=row.machine,
        ip=row.ip,
        mac=row.mac,
        instance=row.instance,
        doubled=doubled(row, now),
        paused=row.paused_at is not None,
        node=row.node,
        account=row.account,
        has_secret=row.secret_digest is not None,
        created_at=row.created_at,
    )
