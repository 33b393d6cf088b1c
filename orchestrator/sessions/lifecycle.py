"""The verbs of sessions: ask, begin, opened, close, closed, lapse.

A scheduler asks, the worker node of the robot begins and opens, the robot's log-off or a person ends it.
Every change of state is a guarded UPDATE; at most one session of a robot is alive, by the lock on its row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, insert, or_, select, update

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, NotFound
from orchestrator.jobs import recovery
from orchestrator.robots.lifecycle import RobotChanged
from orchestrator.robots.model import Robot, RobotStatus
from orchestrator.sessions.model import LIVE, Outcome, Session, SessionState
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import TaskKind
from orchestrator.transaction import Transaction

ASKED_FOR_AT_MOST = timedelta(seconds=120)  # then no node has taken it, and another may be asked for
SILENT_AT_MOST = timedelta(seconds=45)  # as long as a run lives without a heartbeat
RANK = 10  # robots wait for it: before the activities in line
LIMIT = 200


@dataclass(frozen=True)
class Opening:
    """What a node must know to open a session, beside its GUID: `account` is the robot's login there."""

    id: str
    robot: str
    robot_id: str
    account: str


@dataclass(frozen=True)
class Place:
    """Where a session was opened: `pid` is the agent's process, where the backend knows it."""

    machine: str
    backend: str
    pid: int | None = None


def ask(tx: Transaction, robot: Any) -> str | None:
    """Ask the robot's node for a session; return its public id, or None where one is alive already."""
    tx.execute(select(Robot.id).where(Robot.id == robot.id).with_for_update())
    if tx.execute(_live_of(robot.id)).first() is not None:
        return None
    public_id = new_guid()
    row = {
        "tenant_id": robot.tenant_id,
        "public_id": public_id,
        "robot_id": robot.id,
        "state": SessionState.ASKED.value,
        "outcome": "",
        "node": robot.node,
        "machine": "",
        "account": robot.account,
        "backend": "",
        "reason": "",
        "asked_at": tx.now,
    }
    tx.execute(insert(Session), row)
    session_id = tx.execute(select(Session.id).where(Session.public_id == public_id)).scalar_one()
    # One attempt: what becomes of the session is told by the session, and the next is asked for anew.
    task = NewTask(TaskKind.OPEN_SESSION, subject_id=session_id, node=robot.node, rank=RANK)
    enqueue(replace(tx, tenant_id=robot.tenant_id), [task])
    return public_id


def _live_of(robot_id: int) -> Any:
    return select(Session.id).where(Session.robot_id == robot_id, Session.state.in_(_values(LIVE)))


def _values(states: Iterable[SessionState]) -> list[str]:
    return [state.value for state in states]


# What the node says -------------------------------------------------------------------------------------


def begin(tx: Transaction, session_id: int, node: str, guid_digest: str) -> Opening:
    """The node is at it (its task has just been started): the session gets its GUID, kept as this digest.

    Raises `Conflict` where the session was closed, or is open already.
    """
    mine = (Session.id == session_id, Session.tenant_id == tx.tenant_id)
    begun = update(Session).where(*mine, Session.state == SessionState.ASKED.value, Session.node == node)
    if tx.execute(begun.values(guid_digest=guid_digest, last_seen=tx.now)).rowcount != 1:
        raise Conflict(f"The session is no longer asked for, or not of the node {node!r}.")
    row = tx.execute(
        select(Session.public_id, Session.account, Robot.name, Robot.public_id.label("robot_id"))
        .join(Robot, Robot.id == Session.robot_id)
        .where(*mine)
    ).one()
    return Opening(row.public_id, row.name, row.robot_id, row.account)


def opened(tx: Transaction, public_id: str, node: str, place: Place) -> None:
    """The agent runs. Said again, it changes nothing. Raises `Conflict` where the session is over."""
    session = _of_node(tx, public_id, node)
    if session.state in (SessionState.OPEN, SessionState.CLOSING):
        return
    now_open = _guarded(session, [SessionState.ASKED]).where(Session.guid_digest.is_not(None))
    values = {"machine": place.machine[:255], "backend": place.backend[:40], "pid": place.pid}
    begun = {"state": SessionState.OPEN.value, "opened_at": tx.now, "last_seen": tx.now}
    if tx.execute(now_open.values(**values, **begun)).rowcount != 1:
        raise Conflict(f"Session {public_id} is {session.state}: end the agent.")


def closed(tx: Transaction, public_id: str, node: str, outcome: Outcome, reason: str) -> None:
    """The agent has ended, or could not be started. Said again, it changes nothing."""
    session = _of_node(tx, public_id, node)
    if session.state == SessionState.CLOSED:
        return
    if session.state == SessionState.CLOSING:
        outcome, reason = Outcome.CLOSED, session.reason  # who asked for it says more
    end(tx, session, outcome, reason)


def _of_node(tx: Transaction, public_id: str, node: str) -> Any:
    session = find(tx, public_id)
    if session is None or session.node != node:
        raise NotFound(f"The node {node!r} has no session {public_id}.")
    return session


# How it ends --------------------------------------------------------------------------------------------


def close(tx: Transaction, public_id: str) -> None:
    """A person ends it: the node is told with the answer to its registration. One that no node has begun
    to open ends here and now."""
    session = find(tx, public_id)
    if session is None:
        raise NotFound(f"There is no session {public_id}.")
    if session.state == SessionState.CLOSING:
        return
    unbegun = session.state == SessionState.ASKED and session.guid_digest is None
    if unbegun and end(tx, session, Outcome.CLOSED, f"{tx.actor} closed it before it was opened."):
        audit.record(tx, "session.close", public_id)
        return
    values = {"state": SessionState.CLOSING.value, "reason": f"{tx.actor} asked for its end."[:500]}
    guarded = _guarded(session, [SessionState.ASKED, SessionState.OPEN])
    if tx.execute(guarded.values(**values)).rowcount != 1:
        raise Conflict(f"Session {public_id} is {session.state} and cannot be closed.")
    audit.record(tx, "session.close", public_id)


def end(tx: Transaction, session: Any, outcome: Outcome, reason: str) -> bool:
    """The session is over, whoever says so; its GUID is worth nothing from now on."""
    values: dict[str, Any] = {"state": SessionState.CLOSED.value, "outcome": outcome.value}
    values |= {"reason": reason[:500], "closed_at": tx.now, "guid_digest": None}
    guarded = _guarded(session, LIVE).where(_same_digest(session))
    if tx.execute(guarded.values(**values)).rowcount != 1:
        return False
    tasks.cancel_for(replace(tx, tenant_id=session.tenant_id), TaskKind.OPEN_SESSION, session.id)
    if session.guid_digest is not None:  # its agent may have been the robot's presence
        robot = update(Robot).where(Robot.id == session.robot_id, Robot.tenant_id == session.tenant_id)
        tx.execute(robot.values(status=RobotStatus.DISCONNECTED.value))
        tx.announce(RobotChanged(session.robot_id))
        has_been_silent = outcome == Outcome.LAPSED
        recovery.expect_word(tx, session.robot_id, timedelta(0) if has_been_silent else SILENT_AT_MOST)
    return True


def _same_digest(session: Any) -> Any:
    """A node that begins it at this moment must not have its session ended as one that never began."""
    if session.guid_digest is None:
        return Session.guid_digest.is_(None)
    return Session.guid_digest == session.guid_digest


def silent(tx: Transaction, session_id: int | None = None) -> list[Any]:
    """The sessions, of all tenants, whose node fell silent or never came; with `session_id`, that one, if its
    has."""
    silent = and_(Session.state != SessionState.ASKED.value, Session.last_seen < tx.now - SILENT_AT_MOST)
    stale = and_(Session.state == SessionState.ASKED.value, Session.asked_at < tx.now - ASKED_FOR_AT_MOST)
    query = (
        select(*Session.__table__.columns)
        .where(Session.state.in_(_values(LIVE)), or_(silent, stale))
        .order_by(Session.id)
        .limit(LIMIT)
    )
    return list(tx.execute(query if session_id is None else query.where(Session.id == session_id)).all())


def lapse(tx: Transaction, session: Any) -> bool:
    """End one that is `silent`."""
    return end(tx, session, *_why(session))


def _why(session: Any) -> tuple[Outcome, str]:
    if session.state == SessionState.ASKED:
        waited = int(ASKED_FOR_AT_MOST.total_seconds())
        return Outcome.FAILED, f"The node {session.node} did not open it within {waited} seconds."
    return Outcome.LAPSED, f"The node {session.node} fell silent; its agents end with it."


def find(tx: Transaction, public_id: str) -> Any | None:
    query = select(*Session.__table__.columns).where(
        Session.tenant_id == tx.tenant_id, Session.public_id == public_id.lower()
    )
    return tx.execute(query).one_or_none()


def _guarded(session: Any, sources: Iterable[SessionState]) -> Any:
    return update(Session).where(
        Session.id == session.id,
        Session.tenant_id == session.tenant_id,
        Session.state.in_(_values(sources)),
    )
