"""What the word of a worker node means for its sessions: what is alive, what has ended, what is to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from orchestrator.cluster import worker_nodes
from orchestrator.cluster.lifecycle import NodeIdentity
from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions.model import Outcome, Session, SessionState
from orchestrator.transaction import Transaction

UNDERWAY = timedelta(seconds=15)  # the node's word may be older than the opening of a session


@dataclass(frozen=True)
class Orders:
    """What the node is to do: `close_sessions` are public ids. Its lease is in seconds; `now` is the
    database's time, with which it compares its clock."""

    lease_seconds: float
    drain: bool
    close_sessions: list[str]
    now: datetime


def keep(
    tx: Transaction,
    me: NodeIdentity,
    capabilities: dict[str, Any],
    held: Sequence[str],
    replace: str | None = None,
    surroundings: dict[str, Any] | None = None,
) -> Orders:
    """The node lives, and holds the sessions `held` (public ids). Raises `NodeAlive`.

    A session that the node does not hold has ended with the incarnation that opened it; one that it holds
    and that is over here is to be closed there.
    """
    present = worker_nodes.keep(tx, me, capabilities, replace, surroundings)
    known = tx.execute(_of(tx, me.name, held)).all()
    seen = [row.id for row in known if row.public_id in held and row.state != SessionState.CLOSED]
    if seen:
        tx.execute(update(Session).where(Session.id.in_(seen)).values(last_seen=tx.now))
    for row in known:
        if row.id not in seen and _is_gone(tx, row, present.is_new):
            sessions.end(tx, row, Outcome.LAPSED, f"The node {me.name} no longer has it.")
    going_on = {row.public_id for row in known if row.state in (SessionState.ASKED, SessionState.OPEN)}
    close = [public_id for public_id in held if public_id not in going_on]
    return Orders(worker_nodes.LEASE.total_seconds(), present.is_draining, close, tx.now)


def _of(tx: Transaction, node: str, held: Sequence[str]) -> Any:
    """The node's sessions that go on here, and those that it says it has."""
    begun = [SessionState.ASKED.value, SessionState.OPEN.value, SessionState.CLOSING.value]
    mine = (Session.tenant_id == tx.tenant_id, Session.node == node)
    going_on = Session.state.in_(begun) & Session.guid_digest.is_not(None)
    return select(*Session.__table__.columns).where(*mine, going_on | Session.public_id.in_(held))


def _is_gone(tx: Transaction, session: Any, node_is_new: bool) -> bool:
    if session.state == SessionState.CLOSED:
        return False
    return node_is_new or session.last_seen < tx.now - UNDERWAY


def leave(tx: Transaction, name: str, incarnation: str) -> None:
    """The node ends cleanly; it has closed its sessions, and what it could not say of them is made good.

    The sessions of one that was replaced ended as its successor came: those that go on are not its own.
    """
    if not worker_nodes.leave(tx, name, incarnation):
        return
    for row in tx.execute(_of(tx, name, [])).all():
        sessions.end(tx, row, Outcome.CLOSED, f"The node {name} ended.")
