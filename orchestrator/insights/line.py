"""Why a pending job still waits: its place in line, and the robots that could take it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis import RedisError
from sqlalchemy import and_, func, or_, select

from orchestrator.insights.reason import Reason
from orchestrator.insights.robots import HELD
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.model import Robot, RobotKind, RobotStatus
from orchestrator.robots.presence import Presence
from orchestrator.transaction import Transaction

COUNTED = 1000  # jobs before it in line, and robots looked at; beyond that «1000 or more» says enough


@dataclass(frozen=True)
class Target:
    """Who may take the job. `phrase` goes into sentences: «robot r1», «group accounting», «any robot»."""

    kind: str
    id: int
    phrase: str


def why_it_waits(tx: Transaction, job: Any, presence: Presence) -> Iterator[Reason]:
    yield from _about_robots(tx, _target(tx, job), presence)
    yield from place_in_line(tx, job)


def place_in_line(tx: Transaction, job: Any) -> Iterator[Reason]:
    target = _target(tx, job)
    before = _before(tx, job)
    if before == 1:
        yield Reason("behind_others", f"One job for {target.phrase} stands before it.")
    elif before:
        many = str(before) if before < COUNTED else f"{COUNTED} or more"
        yield Reason("behind_others", f"{many} jobs for {target.phrase} stand before it.")
    else:
        yield Reason("next_in_line", f"It is the next for {target.phrase}.")


def _target(tx: Transaction, job: Any) -> Target:
    kind, _, key = job.target.partition(":")
    if kind == "robot":
        robot = robots.find_by_id(tx, int(key))
        return Target(kind, int(key), f"robot {robot.name}" if robot else "a robot")
    if kind == "group":
        return Target(kind, int(key), f"group {robots.group_name(tx, int(key))}")
    return Target(kind, 0, "any robot")


def _before(tx: Transaction, job: Any) -> int:
    """How many stand before it in its line: an index range, read to `COUNTED` and no further."""
    line = (
        select(Job.id)
        .where(Job.tenant_id == tx.tenant_id, Job.status == Status.PENDING.value, Job.target == job.target)
        .where(Job.robot_id.in_([0, -job.process_id]))  # of those that limits hold back, its own kind
        .where(or_(Job.rank < job.rank, and_(Job.rank == job.rank, Job.id < job.id)))
        .limit(COUNTED)
        .subquery()
    )
    return int(tx.execute(select(func.count()).select_from(line)).scalar_one())


def _about_robots(tx: Transaction, target: Target, presence: Presence) -> Iterator[Reason]:
    rows = _candidates(tx, target)
    if not rows:
        yield _nobody(target)
        return
    able = rows if target.kind == "robot" else [row for row in rows if row.kind == RobotKind.UNATTENDED]
    if not able:
        yield Reason(
            "only_attended",
            f"Every robot of {target.phrase} is attended, and gets only jobs that name it.",
        )
        return
    active = [row for row in able if row.paused_at is None]
    if not active:
        yield Reason("paused", _all(target, len(able), "paused"))
        return
    status = _statuses(active, presence)
    connected = [row for row in active if status[row.id] in (RobotStatus.READY, RobotStatus.WORKING)]
    if not connected:
        yield _none_connected(target, active, status)
        return
    held = select(Job.robot_id).where(
        Job.tenant_id == tx.tenant_id,
        Job.robot_id.in_([row.id for row in connected]),
        Job.status.in_(HELD),
    )
    busy = set(tx.execute(held).scalars())
    free = [row for row in connected if row.id not in busy]
    if not free:
        yield Reason("busy", _all(target, len(connected), "busy with another job"))
    else:
        yield Reason(
            "robots_ready", f"{len(free)} robot(s) are free and learn of it at their next heartbeat."
        )


def _candidates(tx: Transaction, target: Target) -> Sequence[Any]:
    columns = (Robot.id, Robot.name, Robot.kind, Robot.status, Robot.last_seen, Robot.paused_at)
    query = select(*columns).where(Robot.tenant_id == tx.tenant_id, Robot.deleted_at.is_(None))
    if target.kind == "robot":
        query = query.where(Robot.id == target.id)
    elif target.kind == "group":
        query = query.where(Robot.group_id == target.id)
    return list(tx.execute(query.order_by(Robot.id).limit(COUNTED)).all())


def _nobody(target: Target) -> Reason:
    if target.kind == "robot":
        return Reason("robot_deleted", f"The robot that it is for has been deleted ({target.phrase}).")
    if target.kind == "group":
        return Reason("no_robot_in_group", f"There is no robot in {target.phrase}.")
    return Reason("no_robot", "There is no robot yet; create one and start its agent.")


def _statuses(rows: Sequence[Any], presence: Presence) -> dict[int, int]:
    """What each robot said last: Redis where it knows the robot, SQL where it does not."""
    try:
        beats = presence.look(row.id for row in rows)
    except RedisError:
        beats = [None] * len(rows)
    return {
        row.id: row.status if beat is None else beat.status for row, beat in zip(rows, beats, strict=True)
    }


def _none_connected(target: Target, rows: Sequence[Any], status: dict[int, int]) -> Reason:
    if any(status[row.id] == RobotStatus.UNLICENSED for row in rows):
        return Reason("unlicensed", _all(target, len(rows), "disconnected or without a licence"))
    times = [row.last_seen for row in rows if row.last_seen is not None]
    seen = f"; last seen {max(times):%Y-%m-%d %H:%M:%S} UTC" if times else "; never seen so far"
    return Reason("not_connected", _all(target, len(rows), "not connected").removesuffix(".") + f"{seen}.")


def _all(target: Target, count: int, what: str) -> str:
    if target.kind == "robot":
        return f"{target.phrase[:1].upper()}{target.phrase[1:]} is {what}."
    of = "" if target.kind == "any" else f" of {target.phrase}"
    return f"All {count} robots{of} are {what}." if count != 1 else f"The only robot{of} is {what}."
