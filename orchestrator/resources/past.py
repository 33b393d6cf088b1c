"""Resources in history: found under their old address, and brought back by whoever changes one.

A deleted resource is kept there too, marked, for as long as its history is kept; only that can be read.
A reference is unique among the live resources of a queue and those in history: the same invoice put in
twice, a year apart, is still the same invoice. Only deletion, by a person or by age, sets it free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select

from orchestrator.database import kept_guid
from orchestrator.errors import AlreadyExists, Conflict, NotFound
from orchestrator.past import carry, carry_those_of, live_of
from orchestrator.resources import changes, search
from orchestrator.resources.model import (
    PAST_RESOURCE_HISTORY,
    PAST_RESOURCES,
    Queue,
    Resource,
    ResourceHistory,
)
from orchestrator.transaction import Transaction

_OF_ID = select(*PAST_RESOURCES.columns).where(
    PAST_RESOURCES.c.tenant_id == bindparam("p_tenant_id"),
    PAST_RESOURCES.c.public_id == bindparam("p_public_id"),
)
_BY_ID = _OF_ID.where(PAST_RESOURCES.c.deleted_at.is_(None))
_LOCK_BY_ID = _BY_ID.with_for_update()


def find(tx: Transaction, public_id: str) -> Any | None:
    """The row of a resource that is in history, and has not been deleted."""
    return tx.execute(_BY_ID, _asked(tx, public_id)).one_or_none()


def look(tx: Transaction, public_id: str) -> Any:
    """The row of a resource wherever it is. Raises `NotFound`."""
    row = search.by_public_id(tx, public_id) or find(tx, public_id)
    row = row or search.by_public_id(tx, public_id)  # brought back between the two
    if row is None:
        raise NotFound(f"There is no resource {public_id!r}.")
    return row


def by_id(tx: Transaction, resource_id: int) -> Any | None:
    past = PAST_RESOURCES.c
    query = select(*PAST_RESOURCES.columns).where(past.tenant_id == tx.tenant_id, past.id == resource_id)
    return tx.execute(query.where(past.deleted_at.is_(None))).one_or_none()


def known_id(tx: Transaction, public_id: str) -> int:
    """The number of a resource that is or was, deleted ones among them. Raises `NotFound`."""
    gone = tx.execute(_OF_ID, _asked(tx, public_id)).one_or_none()
    return int(gone.id if gone is not None else look(tx, public_id).id)


def _asked(tx: Transaction, public_id: str) -> dict[str, Any]:
    return {"p_tenant_id": tx.tenant_id, "p_public_id": kept_guid(public_id)}


def recall(tx: Transaction, public_id: str) -> bool:
    """Bring a resource back from history, to be changed; say whether it was there. Its earlier lines of
    history stay where they are."""
    row = tx.execute(_LOCK_BY_ID, _asked(tx, public_id)).one_or_none()
    if row is None:
        return False
    queue = select(Queue.id).where(Queue.id == row.queue_id, Queue.tenant_id == tx.tenant_id)
    if tx.execute(queue).first() is None:
        raise Conflict("The queue of this resource has been deleted; the resource can only be read.")
    carry(tx, PAST_RESOURCES, live_of(Resource), [row.id])
    changes.insert_terms(tx, [dict(row._mapping)])
    return True


def bury(tx: Transaction, resource_id: int) -> None:
    """A deleted resource, whose row the caller has locked: away with it, and with its lines of history."""
    carry_those_of(tx, live_of(ResourceHistory), PAST_RESOURCE_HISTORY, "resource_id", [resource_id])
    carry(tx, live_of(Resource), PAST_RESOURCES, [resource_id], deleted_at=tx.now, updated_at=tx.now)


def with_references(tx: Transaction, queue_id: int, references: Sequence[str]) -> dict[str, str]:
    """Public ids by reference, of resources of the queue that are in history."""
    past = PAST_RESOURCES.c
    query = select(past.reference, past.public_id).where(
        past.tenant_id == tx.tenant_id,
        past.queue_id == queue_id,
        past.reference.in_(references),
        past.deleted_at.is_(None),
    )
    return {row.reference: row.public_id for row in tx.execute(query)}


def refuse_taken(tx: Transaction, queue_id: int, reference: str) -> None:
    """Raise `AlreadyExists` where a resource of the queue has this reference, in its history as well."""
    live = select(Resource.id).where(
        Resource.tenant_id == tx.tenant_id, Resource.queue_id == queue_id, Resource.reference == reference
    )
    if tx.execute(live).first():
        raise AlreadyExists(f"The queue has a resource with the reference {reference!r} already.")
    if with_references(tx, queue_id, [reference]):
        raise AlreadyExists(f"The queue has a resource with the reference {reference!r} in its history.")
