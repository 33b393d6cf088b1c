"""Who a robot's program is: known by the robot's GUID, or by that of a session opened for it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, null, select

from orchestrator.robots import lifecycle as robots
from orchestrator.robots.model import Robot
from orchestrator.sessions.model import LIVE, Session
from orchestrator.transaction import Transaction

# The robot's row as the session's agent has it: with the digest that it came with, and without the robot's
# secret, which it does not know. Only the row of the robot is locked, as for any other program of its.
_COLUMNS = [
    column for column in Robot.__table__.columns if column.name not in ("guid_digest", "secret_digest")
]
_BY_SESSION = (
    select(*_COLUMNS, Session.guid_digest.label("guid_digest"), null().label("secret_digest"))
    .join(Session, Session.robot_id == Robot.id)
    .where(
        Session.guid_digest == bindparam("p_digest"),
        Session.state.in_([state.value for state in LIVE]),
        Robot.deleted_at.is_(None),
    )
)
_LOCK_BY_SESSION = _BY_SESSION.with_for_update(of=Robot)


def authenticate(tx: Transaction, guid_digest: str, *, lock: bool = False) -> Any | None:
    """The robot by the digest of its own GUID or, where no robot has that, of its session's.

    `guid_digest` of the row is the digest that was given. The second look costs only sessions' agents, on
    the slow way, and unknown callers.
    """
    robot = robots.authenticate(tx, guid_digest, lock=lock)
    if robot is not None:
        return robot
    query = _LOCK_BY_SESSION if lock else _BY_SESSION
    return tx.execute(query, {"p_digest": guid_digest}).one_or_none()
