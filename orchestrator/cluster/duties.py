"""The record of the master's duties: how each fared the last time, one row a duty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from orchestrator.cluster.model import DutyRun
from orchestrator.transaction import Transaction

_COLUMNS = DutyRun.__table__.columns
_CHANGE = (
    update(DutyRun)
    .where(DutyRun.name == bindparam("p_name"))
    .values({column.name: bindparam(f"p_{column.name}") for column in _COLUMNS if column.name != "name"})
)


def record(tx: Transaction, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows with all columns of `DutyRun` over the earlier ones of the same duties.

    Not guarded here: the writer is the master, and its term's transaction lets no late one through.
    """
    names = [row["name"] for row in rows]
    known = set(tx.execute(select(DutyRun.name).where(DutyRun.name.in_(names))).scalars())
    new = [row for row in rows if row["name"] not in known]
    old = [{f"p_{key}": value for key, value in row.items()} for row in rows if row["name"] in known]
    if new:
        tx.execute(insert(DutyRun), new)
    if old:
        tx.execute(_CHANGE, old)


def recorded(tx: Transaction) -> list[Any]:
    """Every duty that was ever done, by name."""
    return list(tx.execute(select(*_COLUMNS).order_by(DutyRun.name)).all())
