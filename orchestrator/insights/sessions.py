"""What people see of sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from orchestrator.errors import NotFound
from orchestrator.insights.paging import Page, page
from orchestrator.robots.lifecycle import Digest, called
from orchestrator.robots.model import Robot
from orchestrator.sessions.model import Session
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class SessionView:
    """`outcome` and `reason` say why it ended: `outcome` is logged_off, closed, failed or lapsed."""

    id: str
    robot: str
    state: str
    node: str
    machine: str
    account: str
    backend: str
    pid: int | None
    asked_at: datetime
    opened_at: datetime | None
    last_seen: datetime | None
    closed_at: datetime | None
    outcome: str | None
    reason: str | None


def listed(
    tx: Transaction, filters: dict[str, str], limit: int, cursor: str | None, digest: Digest
) -> Page[SessionView]:
    """`filters` may name `state`, `node`, `machine`, `account` and `robot` (its id, name or GUID)."""
    plain = {name: value for name, value in filters.items() if name != "robot"}
    query = _all(tx).where(*[getattr(Session, name) == value for name, value in plain.items()])
    if robot := filters.get("robot"):
        query = query.where(called(robot, digest))
    return page(tx, query, Session.id, limit, cursor, lambda rows: [_view(row) for row in rows])


def named(tx: Transaction, public_id: str) -> SessionView:
    row = tx.execute(_all(tx).where(Session.public_id == public_id.lower())).one_or_none()
    if row is None:
        raise NotFound(f"There is no session {public_id}.")
    return _view(row)


def _all(tx: Transaction) -> Any:
    return (
        select(*Session.__table__.columns, Robot.name.label("robot"))
        .join(Robot, Robot.id == Session.robot_id)
        .where(Session.tenant_id == tx.tenant_id)
    )


def _view(row: Any) -> SessionView:
    return SessionView(
        id=row.public_id,
        robot=row.robot,
        state=row.state,
        node=row.node,
        machine=row.machine,
        account=row.account,
        backend=row.backend,
        pid=row.pid,
        asked_at=row.asked_at,
        opened_at=row.opened_at,
        last_seen=row.last_seen,
        closed_at=row.closed_at,
        outcome=row.outcome or None,
        reason=row.reason or None,
    )
