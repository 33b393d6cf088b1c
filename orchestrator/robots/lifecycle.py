"""The verbs of robots: create, change, pause, resume, delete, and finding them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import AlreadyExists, Conflict, Invalid, NotFound
from orchestrator.robots.model import Robot, RobotGroup, RobotKind, RobotStatus
from orchestrator.transaction import Fact, Transaction

Digest = Callable[[str], str]
_LIKE_A_GUID = re.compile(r"[\s{]*[0-9a-fA-F-]{24,}[\s}]*")  # no name is; also a mistyped one


@dataclass(frozen=True)
class RobotChanged(Fact):
    """What presence has cached of the robot is no longer true."""

    robot_id: int


@dataclass
class NewRobot:
    """`guid` is chosen by the server where none is given; it is shown once and kept as a digest only."""

    name: str
    kind: str = RobotKind.UNATTENDED.value
    group: str | None = None
    node: str = ""
    account: str = ""
    guid: str = ""

    def __post_init__(self) -> None:
        self.guid = normal_guid(self.guid) if self.guid else new_guid()


def bare_guid(text: str) -> str:
    """Without regard to case, surrounding braces and spaces; whether it is a GUID is not looked at."""
    return text.strip().strip("{}").strip().lower()


def normal_guid(text: str) -> str:
    """A GUID without regard to case, surrounding braces and spaces. Raises `Invalid` where it is none."""
    bare = bare_guid(text)
    try:
        parsed = uuid.UUID(bare)
    except ValueError:
        raise Invalid.field("guid", f"{text!r} is not a GUID") from None
    if str(parsed) != bare:
        raise Invalid.field("guid", f"{text!r} is not a GUID of the form 8-4-4-4-12")
    return str(parsed)


def create(tx: Transaction, new: NewRobot, digest: Digest) -> str:
    """Create a robot; return its public id."""
    _refuse_double(tx, new.name)
    public_id = new_guid()
    row = {
        "tenant_id": tx.tenant_id,
        "public_id": public_id,
        "name": new.name,
        "kind": new.kind,
        "group_id": group_named(tx, new.group) if new.group else None,
        "guid_digest": digest(new.guid),
        "status": RobotStatus.DISCONNECTED.value,
        "machine": "",
        "ip": "",
        "mac": "",
        "node": new.node,
        "account": new.account,
        "created_at": tx.now,
    }
    taken = select(Robot.id).where(Robot.guid_digest == row["guid_digest"])
    if tx.execute(taken).first():
        raise Invalid.field("guid", "another robot has this GUID")
    tx.execute(insert(Robot), row)
    audit.record(tx, "robot.create", new.name)
    return public_id


def change(tx: Transaction, key: str, **changes: Any) -> str:
    """Change `name`, `kind`, `group`, `node` or `account`; return the public id."""
    robot = existing(tx, key)
    if "name" in changes and changes["name"] != robot.name:
        _refuse_double(tx, changes["name"])
    audit.record(tx, "robot.change", robot.name, **changes)
    if "group" in changes:
        group = changes.pop("group")
        changes["group_id"] = group_named(tx, group) if group else None
    _update(tx, robot, **changes)
    return str(robot.public_id)


def pause(tx: Transaction, key: str) -> str:
    return _set_paused(tx, key, "robot.pause", tx.now)


def resume(tx: Transaction, key: str) -> str:
    return _set_paused(tx, key, "robot.resume", None)


def _set_paused(tx: Transaction, key: str, action: str, paused_at: Any) -> str:
    robot = existing(tx, key)
    if (robot.paused_at is None) != (paused_at is None):
        _update(tx, robot, paused_at=paused_at)
        audit.record(tx, action, robot.name)
    return str(robot.public_id)


def set_secret(tx: Transaction, key: str, secret: str, digest: Digest) -> None:
    """Switch the robot to the stronger form of its authentication: the GUID alone is refused from now on."""
    robot = existing(tx, key)
    _update(tx, robot, secret_digest=digest(secret))
    audit.record(tx, "robot.set_secret", robot.name)


def delete(tx: Transaction, key: str, has_live_job: Callable[[int], bool]) -> None:
    """Delete a robot. Its jobs keep its name in their history; its GUID is unknown from now on."""
    robot = existing(tx, key)
    if has_live_job(robot.id):
        raise Conflict(f"Robot {robot.name!r} has a job in progress; stop or abort that first.")
    _update(tx, robot, name=f"{robot.name[:90]} (deleted {robot.id})", guid_digest=None, deleted_at=tx.now)
    audit.record(tx, "robot.delete", robot.name)


def _update(tx: Transaction, robot: Any, **values: Any) -> None:
    guard = update(Robot).where(Robot.id == robot.id, Robot.tenant_id == tx.tenant_id)
    tx.execute(guard.values(**values))
    tx.announce(RobotChanged(robot.id))


def _refuse_double(tx: Transaction, name: str) -> None:
    if tx.execute(select(Robot.id).where(Robot.tenant_id == tx.tenant_id, Robot.name == name)).first():
        raise AlreadyExists(f"There is already a robot named {name!r}; names are unique.")


# Finding ------------------------------------------------------------------------------------------------


def called(key: str, digest: Digest | None = None) -> Any:
    """The condition that a robot has this public id, name or, where `digest` is given, GUID."""
    by = [Robot.public_id == key.lower(), Robot.name == key]
    if digest is not None:
        by.append(Robot.guid_digest == digest(bare_guid(key)))
    return or_(*by)


def find(tx: Transaction, key: str, digest: Digest | None = None) -> Any | None:
    """The robot of this tenant with this public id, name or, where `digest` is given, GUID."""
    query = select(*Robot.__table__.columns).where(
        Robot.tenant_id == tx.tenant_id, Robot.deleted_at.is_(None), called(key, digest)
    )
    return tx.execute(query).first()


def existing(tx: Transaction, key: str, digest: Digest | None = None) -> Any:
    robot = find(tx, key, digest)
    if robot is None:
        raise NotFound(f"There is {nobody(key)}.")
    return robot


def nobody(key: str) -> str:
    """What an error says was not found: a name is repeated, a GUID, which is a password, is not."""
    return "no such robot" if _LIKE_A_GUID.fullmatch(key) else f"no robot {key!r}"


def find_by_id(tx: Transaction, robot_id: int) -> Any | None:
    query = select(*Robot.__table__.columns).where(Robot.id == robot_id, Robot.tenant_id == tx.tenant_id)
    return tx.execute(query).one_or_none()


_BY_DIGEST = select(
    Robot.id,
    Robot.tenant_id,
    Robot.name,
    Robot.kind,
    Robot.group_id,
    Robot.guid_digest,
    Robot.secret_digest,
    Robot.paused_at,
    Robot.machine,
    Robot.ip,
    Robot.mac,
    Robot.instance,
    Robot.last_seen,
    Robot.other,
    Robot.doubled_at,
).where(Robot.guid_digest == bindparam("p_digest"))
_LOCK_BY_DIGEST = _BY_DIGEST.with_for_update()


def authenticate(tx: Transaction, guid_digest: str, *, lock: bool = False) -> Any | None:
    """The robot whose GUID has this digest, of whatever tenant: the GUID is what tells the tenant."""
    query = _LOCK_BY_DIGEST if lock else _BY_DIGEST
    return tx.execute(query, {"p_digest": guid_digest}).one_or_none()


# Groups -------------------------------------------------------------------------------------------------


def group_named(tx: Transaction, name: str) -> int:
    """The id of the group, which exists from its first mention."""
    query = select(RobotGroup.id).where(RobotGroup.tenant_id == tx.tenant_id, RobotGroup.name == name)
    found = tx.execute(query).scalar_one_or_none()
    if found is None:
        tx.execute(insert(RobotGroup), {"tenant_id": tx.tenant_id, "name": name})
        found = tx.execute(query).scalar_one()
    return int(found)


def group_name(tx: Transaction, group_id: int) -> str:
    query = select(RobotGroup.name).where(RobotGroup.id == group_id, RobotGroup.tenant_id == tx.tenant_id)
    return str(tx.execute(query).scalar_one())
