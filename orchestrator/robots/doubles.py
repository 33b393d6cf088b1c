"""Two programs with one GUID: telling them apart, keeping the second from the first's run, and noting it.

A robot's GUID that was copied, or an image of its machine that was started twice. The server cannot know
which of the two is meant to be there. What it knows is which of them it heard first, and still hears: that
one keeps its run, and the other is given nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, update

from orchestrator import audit
from orchestrator.errors import Conflict
from orchestrator.robots.model import Robot
from orchestrator.transaction import Transaction

SHOWN_FOR = timedelta(minutes=5)  # after both were last heard side by side


@dataclass(frozen=True)
class Program:
    """What a program says of where it runs. `instance` is our agents': it stays with their work folder."""

    machine: str = ""
    ip: str = ""
    mac: str = ""
    instance: str = ""


class InUse(Conflict):
    """Another program works with this GUID"""

    code = "guid_in_use"

    def __init__(self, robot: Any) -> None:
        super().__init__(
            f"Another program on {robot.machine or 'another machine'} works with the GUID of robot "
            f"{robot.name}: end one of the two, or create a robot of its own for it."
        )


_NOTE = (
    update(Robot)
    .where(Robot.id == bindparam("p_id"), Robot.tenant_id == bindparam("p_tenant_id"))
    .values(other=bindparam("p_other"), doubled_at=bindparam("p_doubled_at"))
)


def is_other(robot: Any, told: Program) -> bool:
    """Whether another program than the robot's own speaks, for certain: an address may change in mid-run,
    the machine's name and the agent's work folder do not. Who does not say is not taken for another."""
    if robot.instance and told.instance and robot.instance != told.instance:
        return True
    return bool(robot.machine and told.machine and robot.machine != told.machine[:255])


def completed(robot: Any, told: Program) -> Program:
    """What is known of the program: what it leaves out this time is as it was, unless it is another one."""
    if is_other(robot, told):
        return told
    names = ("machine", "ip", "mac", "instance")
    return Program(**{name: getattr(told, name) or getattr(robot, name) for name in names})


def is_second(tx: Transaction, robot: Any, told: Program, heard_within: timedelta) -> bool:
    """Whether another program speaks while the robot's own is there: it was heard a moment ago."""
    recent = robot.last_seen is not None and robot.last_seen > tx.now - heard_within
    return recent and is_other(robot, told)


def are_at_odds(tx: Transaction, robot: Any, within: timedelta) -> bool:
    """Whether two programs were heard side by side, so that nobody can say whose word the last one was."""
    return robot.doubled_at is not None and bool(robot.doubled_at > tx.now - within)


def note(tx: Transaction, robot: Any, told: Program) -> None:
    """People are to be told: the program `told` is heard beside the robot's own."""
    _write(tx, robot, _remembered(told, tx.now), tx.now)


def own(tx: Transaction, robot: Any, told: Program, within: timedelta) -> None:
    """The program `told` has been handed a job: it is the robot's own from now on, whoever spoke last."""
    if is_other(robot, told):
        moved(tx, robot, told, within)
        mine = update(Robot).where(Robot.id == robot.id, Robot.tenant_id == tx.tenant_id)
        tx.execute(mine.values(machine=told.machine, ip="", mac="", instance=told.instance))


def moved(tx: Transaction, robot: Any, told: Program, within: timedelta) -> None:
    """The robot's own program is from now on the one that speaks. Where that one was its own a moment ago,
    and another in between, two of them take turns."""
    before = Program(robot.machine, robot.ip, robot.mac, robot.instance)
    if before == told or not (before.machine or before.ip or before.instance):
        return
    takes_turns = robot.other is not None and _was(robot.other, told, tx.now - within)
    doubled_at = tx.now if takes_turns else robot.doubled_at
    _write(tx, robot, _remembered(before, robot.last_seen or tx.now), doubled_at)


def _was(other: dict[str, str], told: Program, since: datetime) -> bool:
    names = ("machine", "ip", "mac", "instance")
    same = all(other[name] == getattr(told, name) for name in names)
    return same and datetime.fromisoformat(other["at"]) > since


def _write(tx: Transaction, robot: Any, other: dict[str, str], doubled_at: datetime | None) -> None:
    if doubled_at == tx.now and not are_at_odds(tx, robot, SHOWN_FOR):
        audit.record(tx, "robot.doubled", robot.name, own=robot.machine, other=other["machine"])
    tx.execute(
        _NOTE,
        {"p_id": robot.id, "p_tenant_id": tx.tenant_id, "p_other": other, "p_doubled_at": doubled_at},
    )


def _remembered(program: Program, at: datetime) -> dict[str, str]:
    return {
        "machine": program.machine,
        "ip": program.ip,
        "mac": program.mac,
        "instance": program.instance,
        "at": at.isoformat(),
    }
