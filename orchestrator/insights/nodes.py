"""What people see of worker nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, false, select, true

from orchestrator.cluster.lifecycle import WORKER
from orchestrator.cluster.model import Node
from orchestrator.errors import NotFound
from orchestrator.insights.paging import Page, page
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class NodeView:
    """`state` is `up`, `draining` or `lost`: it fell silent, and may come back under its name. `free_bytes`
    is the room on its disk, `clock_ahead_seconds` of the database's clock; null where it does not say."""

    name: str
    state: str
    host: str
    pid: int
    version: str
    working_path: str
    activities: list[str]
    backends: list[str]
    slots: int
    free_slots: int
    free_bytes: int | None
    clock_ahead_seconds: float | None
    started_at: datetime
    last_seen: datetime


def listed(
    tx: Transaction, name: str | None, state: str | None, limit: int, cursor: str | None
) -> Page[NodeView]:
    query = select(*Node.__table__.columns).where(Node.kind == WORKER)
    if name is not None:
        query = query.where(Node.name == name)
    if state is not None:
        query = query.where(*_in_state(tx, state))
    return page(tx, query, Node.id, limit, cursor, lambda rows: [_view(tx, row) for row in rows])


def _in_state(tx: Transaction, state: str) -> Iterable[ColumnElement[bool]]:
    """What `_view` says, as conditions."""
    if state == "lost":
        yield Node.lease_until <= tx.now
    else:
        yield Node.lease_until > tx.now
        yield Node.is_draining == (true() if state == "draining" else false())


def named(tx: Transaction, name: str) -> NodeView:
    query = select(*Node.__table__.columns).where(Node.kind == WORKER, Node.name == name)
    row = tx.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no worker node {name!r}.")
    return _view(tx, row)


def _view(tx: Transaction, row: Any) -> NodeView:
    able, around = row.capabilities or {}, row.surroundings or {}
    return NodeView(
        name=row.name,
        state="lost" if row.lease_until <= tx.now else "draining" if row.is_draining else "up",
        host=row.host,
        pid=row.pid,
        version=row.version,
        working_path=row.working_path,
        activities=able.get("activities", []),
        backends=able.get("backends", []),
        slots=able.get("slots", 0),
        free_slots=able.get("free_slots", 0),
        free_bytes=around.get("free_bytes"),
        clock_ahead_seconds=around.get("clock_ahead_seconds"),
        started_at=row.started_at,
        last_seen=row.last_seen,
    )
