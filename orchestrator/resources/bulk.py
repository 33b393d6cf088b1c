"""Changing several resources in one guarded UPDATE, with their index entries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sqlalchemy import bindparam, case, update

from orchestrator.database import BY_KEY
from orchestrator.resources import history
from orchestrator.resources.changes import INDEXED, Outrun, ResourcesFreed
from orchestrator.resources.locks import Initiator
from orchestrator.resources.model import Resource, ResourceTerm
from orchestrator.transaction import Actor, Transaction

_TABLE = Resource.__table__.columns
_MOVE_TERMS = (
    update(ResourceTerm)
    .where(ResourceTerm.resource_id.in_(bindparam("p_ids", expanding=True)))
    .values({name: bindparam(f"p_{name}") for name in INDEXED})
)


@dataclass(frozen=True)
class Change:
    """What happens to one row (as it was read), on whose behalf. Tags and parameters stay as they are."""

    event: str
    row: Mapping[str, Any]
    values: Mapping[str, Any]
    actor: Actor
    who: Initiator
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def after(self) -> dict[str, Any]:
        return {**self.row, **self.values, "version": self.row["version"] + 1}


def apply(tx: Transaction, changes: Sequence[Change], *, frees: bool = False) -> list[dict[str, Any]]:
    """Change all the rows, which differ, or none; return their columns as they are now, in order.

    All changes set the same columns; their lines of history are the caller's to write. Raises `Outrun` where
    one of the rows is no longer as it was read: the transaction must then be rolled back.
    """
    if not changes:
        return []
    if _update(tx, changes) != len(changes):
        raise Outrun
    rows = [change.after for change in changes]
    _move_terms(tx, changes, rows)
    if frees:
        by_queue: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            by_queue[row["queue_id"]].append(row["id"])
        for queue_id, ids in by_queue.items():
            tx.announce(ResourcesFreed(queue_id, tuple(ids)))
    return rows


def _update(tx: Transaction, changes: Sequence[Change]) -> int:
    """One UPDATE; a column that differs from row to row is chosen by the row's id."""
    columns = sorted(changes[0].values)
    equal = tuple(c for c in columns if _are_equal([change.values[c] for change in changes]))
    differing = tuple(c for c in columns if c not in equal)
    # The statement for 5 is that for 8 with the last row named again: few statements, all of them prepared.
    padded = [*changes, *[changes[-1]] * (_size(len(changes)) - len(changes))]
    given: dict[str, Any] = {f"p_{column}": changes[0].values[column] for column in equal}
    given["p_where_tenant_id"] = tx.tenant_id
    given["p_where_ids"] = [change.row["id"] for change in padded]
    for number, change in enumerate(padded):
        given[f"p_id_{number}"] = change.row["id"]
        given[f"p_version_{number}"] = change.row["version"]
        given |= {f"p_{column}_{number}": change.values[column] for column in differing}
    return int(tx.execute(_statement(equal, differing, len(padded)), given).rowcount)


def _are_equal(values: Sequence[Any]) -> bool:
    """Whether one parameter may stand for all: 1, 1.0 and True are equal in Python, and not in JSON."""
    first = values[0]
    if isinstance(first, (dict, list)):
        return all(value is first for value in values)
    return all(type(value) is type(first) and value == first for value in values)


def _size(count: int) -> int:
    return 1 << (count - 1).bit_length()


@cache
def _statement(equal: tuple[str, ...], differing: tuple[str, ...], size: int) -> Any:
    def chosen(column: str) -> Any:
        kind = _TABLE[column].type
        whens = [
            (Resource.id == bindparam(f"p_id_{number}"), bindparam(f"p_{column}_{number}", type_=kind))
            for number in range(size)
        ]
        return case(*whens)

    values: dict[str, Any] = {column: bindparam(f"p_{column}") for column in equal}
    values |= {column: chosen(column) for column in differing}
    values["version"] = Resource.version + 1
    return (
        update(Resource)
        .with_hint(BY_KEY, dialect_name="mysql")
        .where(
            Resource.id.in_(bindparam("p_where_ids", expanding=True)),
            Resource.tenant_id == bindparam("p_where_tenant_id"),
            Resource.version == chosen("version"),
        )
        .values(values)
    )


def _move_terms(tx: Transaction, changes: Sequence[Change], rows: Sequence[Mapping[str, Any]]) -> None:
    """The index entries of tags and parameters carry what lines are sorted by."""
    moved: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for change, row in zip(changes, rows, strict=True):
        place = tuple(row[name] for name in INDEXED)
        if (row["tags"] or row["parameters"]) and place != tuple(change.row[name] for name in INDEXED):
            moved[place].append(row["id"])
    for place, ids in sorted(moved.items()):
        asked = {f"p_{name}": value for name, value in zip(INDEXED, place, strict=True)}
        tx.execute(_MOVE_TERMS, asked | {"p_ids": ids})


def lines(
    tx: Transaction, changes: Iterable[Change], rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The history of `changes`, whose rows as they are now are given."""
    return [
        history.line(replace(tx, actor=change.actor), change.event, row, change.who, **change.detail)
        for change, row in zip(changes, rows, strict=True)
    ]
