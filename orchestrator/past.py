"""Past tables: where finished rows go, column for column, so that the live tables stay short and quick.

A past row keeps its id and its public name, and is found under the same address as before. A column that a
live table gains, its past table gains in the same migration: these definitions follow the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Column, Index, Table, delete, insert, literal, select

from orchestrator.database import Base, UtcDateTime
from orchestrator.transaction import Transaction

CHUNK = 5000  # ids in one statement


class Torn(RuntimeError):  # noqa: N818  (nothing is committed)
    """What was copied is not what was deleted"""


def past_of(model: type[Base], *extra: Column[Any] | Index) -> Table:
    """The past table of a model: its columns and unique names, when each row was moved, and `extra`."""
    live = live_of(model)
    columns = [_copy(column) for column in live.columns]
    moved = Column("moved_at", UtcDateTime, nullable=False)
    return Table(f"past_{live.name}", Base.metadata, *columns, moved, *extra)


def live_of(model: type[Base]) -> Table:
    return cast(Table, model.__table__)


def _copy(column: Column[Any]) -> Column[Any]:
    return Column(
        column.name,
        column.type,
        primary_key=column.primary_key,
        nullable=column.nullable,
        unique=column.unique,
        autoincrement=False if column.primary_key else "auto",
        server_default=getattr(column.server_default, "arg", None),
    )


def carry(tx: Transaction, source: Table, target: Table, ids: Sequence[int], **marks: Any) -> None:
    """Move rows from one of a pair of tables to the other: all of `ids`, or `Torn` is raised.

    The caller has locked them, or knows that they change no more. `marks` are times for columns of `target`.
    """
    if "moved_at" in target.columns:
        marks = {"moved_at": tx.now, **marks}
    names = [column.name for column in source.columns]
    columns = [name for name in names if name in target.columns and name not in marks]
    times = [literal(moment, UtcDateTime()) for moment in marks.values()]
    chosen = select(*[source.c[name] for name in columns], *times).where(source.c.id.in_(ids))
    copied = insert(target).from_select([*columns, *marks], chosen)
    came = tx.execute(copied.execution_options(preserve_rowcount=True)).rowcount
    went = tx.execute(delete(source).where(source.c.id.in_(ids))).rowcount
    if not came == went == len(ids):
        raise Torn(f"{source.name}: {len(ids)} rows were to move, {came} were copied and {went} deleted")


def carry_those_of(tx: Transaction, source: Table, target: Table, key: str, owners: Sequence[int]) -> None:
    """Move the rows that name one of `owners` in the column `key`, those that are there now.

    By their own ids: a row that somebody adds at this moment is neither lost nor moved, and is found where
    it is.
    """
    ids = list(tx.execute(select(source.c.id).where(source.c[key].in_(owners))).scalars())
    for begin in range(0, len(ids), CHUNK):
        carry(tx, source, target, ids[begin : begin + CHUNK])
