"""Past tables: where finished rows go, column for column, so that the live tables stay short and quick.

A past row keeps its id and its public name, and is found under the same address as before. A column that a
live table gains, its past table gains in the same migration: these definitions follow the models.
"""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Column, Index, Table

from orchestrator.database import Base, UtcDateTime


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
