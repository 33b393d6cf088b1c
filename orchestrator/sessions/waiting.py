"""Which away robots a session is asked for: those for whom a job waits, and no other robot is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import String, and_, cast, exists, literal, or_, select
from sqlalchemy.orm import aliased

from orchestrator.cluster.lifecycle import WORKER
from orchestrator.cluster.model import Node
from orchestrator.database import database_time
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.robots.model import Robot, RobotKind, RobotStatus
from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions.model import LIVE, Outcome, Session, SessionState
from orchestrator.transaction import Transaction

CANDIDATES = 500
COMING = timedelta(seconds=20)  # from the opening of a session to its robot's first heartbeat, at most
FIRST_PAUSE = timedelta(seconds=5)  # after a session that failed; doubled with each further one
LONGEST_PAUSE = timedelta(minutes=10)
REMEMBERED = 8


def chosen(tx: Transaction, run_lease: timedelta) -> list[Any]:
    """Robots, of all tenants, for whom waiting jobs need a session: each to be asked for on its own.

    A job for one robot needs that robot. A job for a group, or for any robot, needs one that is away only
    where none is ready or about to come: one is asked for at a time, so that one job does not wake a whole
    group. A robot whose sessions fail is left alone for a while, longer each time.
    """
    found: list[Any] = []
    served: set[tuple[int, str]] = set()
    for robot in tx.execute(_away_and_needed(tx, run_lease)).all():
        lines = [line for line in _needing(robot) if line not in served]
        if not lines or _is_resting(tx, robot):
            continue
        served |= {line for line in lines if _has_hands(tx, line, run_lease)}
        if any(line not in served for line in lines):
            found.append(robot)
            served |= set(lines)
    return found


def ask(tx: Transaction, robot: Any, run_lease: timedelta) -> bool:
    """Ask for the session of one that was `chosen`, if it is away and needed still; whether it was."""
    still = _away_and_needed(tx, run_lease).where(Robot.id == robot.id)
    return any(sessions.ask(tx, one) is not None for one in tx.execute(still).all())


def _needing(robot: Any) -> Iterator[tuple[int, str]]:
    """(tenant, line) of each line that holds a job which this robot may take; `own` is its alone."""
    if robot.own_line:
        yield robot.tenant_id, f"own:{robot.id}"
    if robot.group_line:
        yield robot.tenant_id, f"group:{robot.group_id}"
    if robot.any_line:
        yield robot.tenant_id, "any"


def _away_and_needed(tx: Transaction, run_lease: timedelta) -> Any:
    own = _waits(literal("robot:") + cast(Robot.id, String(20)))
    group = and_(Robot.group_id.is_not(None), _waits(literal("group:") + cast(Robot.group_id, String(20))))
    anybody = _waits(literal("any"))
    away = or_(
        Robot.status == RobotStatus.DISCONNECTED.value,
        Robot.last_seen.is_(None),
        Robot.last_seen < tx.now - run_lease,
    )
    nodes = select(Node.name).where(
        Node.kind == WORKER, Node.lease_until > database_time(), Node.is_draining.is_(False)
    )
    return (
        select(
            *Robot.__table__.columns,
            own.label("own_line"),
            group.label("group_line"),
            anybody.label("any_line"),
        )
        .where(Robot.kind == RobotKind.UNATTENDED.value, Robot.node.in_(nodes))
        .where(Robot.paused_at.is_(None), Robot.deleted_at.is_(None), away)
        .where(~_has_live_session(Robot.id), or_(own, group, anybody))
        .order_by(Robot.id)
        .limit(CANDIDATES)
    )


def _waits(target: Any) -> Any:
    """Whether a job that no robot has waits in the line: a dive into its index for each robot asked about."""
    return exists().where(
        Job.tenant_id == Robot.tenant_id,
        Job.status == Status.PENDING.value,
        Job.target == target,
        Job.robot_id == 0,
    )


def _has_live_session(robot_id: Any) -> Any:
    live = [state.value for state in LIVE]
    return exists().where(Session.robot_id == robot_id, Session.state.in_(live))


def _has_hands(tx: Transaction, line: tuple[int, str], run_lease: timedelta) -> bool:
    """Whether a robot that may look into this line is ready, or about to come."""
    tenant_id, target = line
    if target.startswith("own:"):
        return False
    other = aliased(Robot)
    ready = and_(other.status == RobotStatus.READY.value, other.last_seen >= tx.now - run_lease)
    coming = exists().where(
        Session.robot_id == other.id,
        or_(
            Session.state == SessionState.ASKED.value,
            and_(Session.state == SessionState.OPEN.value, Session.opened_at > tx.now - COMING),
        ),
    )
    query = (
        select(other.id)
        .where(other.tenant_id == tenant_id, other.kind == RobotKind.UNATTENDED.value)
        .where(other.paused_at.is_(None), other.deleted_at.is_(None), or_(ready, coming))
        .limit(1)
    )
    if target != "any":
        query = query.where(other.group_id == int(target.removeprefix("group:")))
    return tx.execute(query).first() is not None


def _is_resting(tx: Transaction, robot: Any) -> bool:
    """Whether the robot's last sessions failed so lately that another would only fail again."""
    own = replace(tx, tenant_id=robot.tenant_id)
    query = (
        select(Session.outcome, Session.closed_at)
        .where(Session.robot_id == robot.id, Session.tenant_id == own.tenant_id)
        .order_by(Session.id.desc())
        .limit(REMEMBERED)
    )
    failures = 0
    rows = tx.execute(query).all()
    for row in rows:
        if row.outcome not in (Outcome.FAILED, Outcome.LAPSED):
            break
        failures += 1
    if not failures:
        return False
    pause: timedelta = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
    return bool(rows[0].closed_at + pause > tx.now)
