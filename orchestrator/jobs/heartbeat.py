"""A heartbeat by the slow way: what SQL says of a robot and its run, once, until presence knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, select, update

from orchestrator.database import among
from orchestrator.jobs import consume, moves, recovery
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import CODE_ABORTING, CODE_STOPPING, LIVE, ORDERS, Status
from orchestrator.robots import doubles
from orchestrator.robots.doubles import InUse, Program
from orchestrator.robots.model import Robot, RobotStatus
from orchestrator.transaction import Fact, Transaction


@dataclass(frozen=True)
class Beat:
    """What the robot says of itself."""

    status: int
    job_guid: str = ""
    machine: str = ""
    ip: str = ""
    mac: str = ""
    instance: str = ""

    @property
    def program(self) -> Program:
        return Program(self.machine[:255], self.ip[:64], self.mac[:64], self.instance[:64])


@dataclass(frozen=True)
class Answer:
    """The protocol's code (0, 10, 20), a sentence for it, and whether a job waits for this robot."""

    code: int
    text: str
    has_new_job: bool


@dataclass(frozen=True)
class RobotSeen(Fact):
    """What presence may remember of the robot after this beat."""

    robot: Any
    beat: Beat
    job_guid: str
    leased: bool
    order: int


_OWN_JOBS = select(*moves.BRIEF).where(
    Job.robot_id == bindparam("p_robot_id"),
    Job.tenant_id == bindparam("p_tenant_id"),
    among(Job.status, [Status.PENDING, *LIVE]),
)
_SEEN = (
    update(Robot)
    .where(Robot.id == bindparam("p_id"), Robot.tenant_id == bindparam("p_tenant_id"))
    .values(
        status=bindparam("p_status"),
        machine=bindparam("p_machine"),
        ip=bindparam("p_ip"),
        mac=bindparam("p_mac"),
        instance=bindparam("p_instance"),
        last_seen=bindparam("p_now"),
    )
)


def beat(tx: Transaction, robot: Any, told: Beat, lease: timedelta) -> Answer:
    """Take note of the robot, renew its run's lease, and answer with its orders.

    A second program with the robot's GUID, in mid-job, is noted and told so, and changes nothing.
    """
    own = tx.execute(_OWN_JOBS, {"p_robot_id": robot.id, "p_tenant_id": tx.tenant_id}).all()
    live = next((job for job in own if job.status in LIVE), None)
    handed = next((job for job in own if job.status == Status.PENDING), None)
    if own and _is_second(tx, robot, told, live, lease):
        doubles.note(tx, robot, told.program)
        order = CODE_ABORTING if told.status == RobotStatus.WORKING else 0
        return Answer(order, InUse(robot).detail, False)
    program = doubles.completed(robot, told.program)
    doubles.moved(tx, robot, program, 2 * lease)
    _see(tx, robot, told.status, program)
    if live is not None and told.status == RobotStatus.READY:
        recovery.lose(tx, live, "robot_said_ready", "The robot said that it was ready while this job ran.")
        live = None
    if told.status == RobotStatus.WORKING and told.job_guid:
        return _working(tx, robot, told, live, handed, lease)
    order = ORDERS.get(Status(live.status), 0) if live is not None else 0
    if handed is None:  # otherwise it stays on the slow way, to be told of its job again and again
        leased = live is not None and live.lease_until is not None
        tx.announce(RobotSeen(robot, told, live.guid if live is not None else "", leased, order))
    waits = handed is not None or (robot.paused_at is None and _lines_hold_jobs(tx, robot))
    return Answer(order, _sentence(order), told.status == RobotStatus.READY and waits)


def has_job(tx: Transaction, robot: Any) -> bool:
    """Whether the robot has been handed a job that has not ended."""
    return bool(tx.execute(_OWN_JOBS, {"p_robot_id": robot.id, "p_tenant_id": tx.tenant_id}).all())


def _is_second(tx: Transaction, robot: Any, told: Beat, live: Any | None, lease: timedelta) -> bool:
    """Whether a program speaks that is not the one which has the robot's job."""
    is_proven = live is not None and live.lease_until is not None  # it has said whose run it is
    if live is not None and told.status == RobotStatus.WORKING and told.job_guid == live.guid:
        return is_proven and doubles.is_second(tx, robot, told.program, lease)
    if doubles.is_second(tx, robot, told.program, lease):
        return True
    return live is not None and not is_proven and doubles.are_at_odds(tx, robot, 2 * lease)


def _see(tx: Transaction, robot: Any, status: int, program: Program) -> None:
    seen: dict[str, Any] = {"p_machine": program.machine, "p_ip": program.ip, "p_mac": program.mac}
    seen |= {"p_instance": program.instance, "p_status": status, "p_now": tx.now}
    tx.execute(_SEEN, seen | {"p_id": robot.id, "p_tenant_id": tx.tenant_id})


def _working(
    tx: Transaction, robot: Any, told: Beat, live: Any | None, handed: Any | None, lease: timedelta
) -> Answer:
    if live is not None and live.guid == told.job_guid:
        recovery.extend_lease(tx, robot.id, live.guid, lease)
        order = ORDERS.get(Status(live.status), 0)
        tx.announce(RobotSeen(robot, told, live.guid, True, order))
        return Answer(order, _sentence(order), False)
    if handed is not None and handed.guid == told.job_guid:
        return Answer(0, "", False)  # handed to it, and not yet reported as begun
    # A run that is over, was given to another attempt, or never was: its script must not go on.
    return Answer(CODE_ABORTING, "The job is not, or no longer, this robot's: stop the script.", False)


_WAITING = (
    select(Job.id)
    .where(
        Job.tenant_id == bindparam("p_tenant_id"),
        Job.status == Status.PENDING.value,
        Job.target.in_(bindparam("p_targets", expanding=True)),
        Job.robot_id == 0,
    )
    .limit(1)
)


def _lines_hold_jobs(tx: Transaction, robot: Any) -> bool:
    asked = {"p_tenant_id": tx.tenant_id, "p_targets": consume.targets(robot)}
    return tx.execute(_WAITING, asked).first() is not None


def _sentence(order: int) -> str:
    return {
        0: "",
        CODE_ABORTING: "A hard stop was asked for: end the script now.",
        CODE_STOPPING: "A soft stop was asked for: let the script end cleanly.",
    }[order]
