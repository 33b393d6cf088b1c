"""How a resource changes: one guarded UPDATE of its row, its index entries, and its line of history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import bindparam, delete, insert, update

from orchestrator.resources import history
from orchestrator.resources.conditions import terms_of
from orchestrator.resources.locks import Initiator
from orchestrator.resources.model import Resource, ResourceTerm
from orchestrator.transaction import Fact, Transaction

INDEXED = ("status", "is_postponed", "rank")
_MOVE_TERMS = (
    update(ResourceTerm)
    .where(ResourceTerm.resource_id == bindparam("p_resource_id"))
    .values({name: bindparam(f"p_{name}") for name in INDEXED})
)


@dataclass(frozen=True)
class ResourcesFreed(Fact):
    """Those who wait for these resources, or for one in this queue, may look again."""

    queue_id: int
    resource_ids: tuple[int, ...]


class Outrun(Exception):  # noqa: N818  (an outcome, not an error)
    """Somebody changed the resource between the look and the change: look again."""


@cache
def _guarded(columns: tuple[str, ...]) -> Any:
    values: dict[str, Any] = {column: bindparam(f"p_{column}") for column in columns}
    values["version"] = Resource.version + 1
    return (
        update(Resource)
        .where(
            Resource.id == bindparam("p_where_id"),
            Resource.tenant_id == bindparam("p_where_tenant_id"),
            Resource.version == bindparam("p_where_version"),
        )
        .values(values)
    )


def apply(
    tx: Transaction,
    event: str,
    row: Any,
    values: Mapping[str, Any],
    who: Initiator | None = None,
    *,
    frees: bool = False,
    **detail: Any,
) -> dict[str, Any]:
    """Change `row` (as it was read) to `values`; return all its columns as they are now.

    Raises `Outrun` where it is no longer as it was read: nothing was changed. `frees`: tell who waits.
    """
    before = row if isinstance(row, dict) else dict(row._mapping)
    statement = _guarded(tuple(sorted(values)))
    parameters = {f"p_{column}": value for column, value in values.items()}
    parameters |= {
        "p_where_id": before["id"],
        "p_where_tenant_id": tx.tenant_id,
        "p_where_version": before["version"],
    }
    if tx.execute(statement, parameters).rowcount != 1:
        raise Outrun
    after = before | dict(values) | {"version": before["version"] + 1}
    _keep_terms(tx, before, after)
    history.write(tx, [history.line(tx, event, after, who, **detail)])
    if frees:
        tx.announce(ResourcesFreed(after["queue_id"], (after["id"],)))
    return after


def _keep_terms(tx: Transaction, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """The index entries of tags and parameters carry what lines are sorted by."""
    if (before["tags"], before["parameters"]) != (after["tags"], after["parameters"]):
        tx.execute(delete(ResourceTerm).where(ResourceTerm.resource_id == after["id"]))
        insert_terms(tx, [after])
    elif (after["tags"] or after["parameters"]) and any(before[name] != after[name] for name in INDEXED):
        asked = {f"p_{name}": after[name] for name in INDEXED}
        tx.execute(_MOVE_TERMS, asked | {"p_resource_id": after["id"]})


def insert_terms(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    entries = [
        {
            "tenant_id": row["tenant_id"],
            "resource_id": row["id"],
            "queue_id": row["queue_id"],
            "term": term,
            **{name: row[name] for name in INDEXED},
        }
        for row in rows
        for term in sorted(terms_of(row["tags"], row["parameters"]))
    ]
    if entries:
        tx.execute(insert(ResourceTerm), entries)
