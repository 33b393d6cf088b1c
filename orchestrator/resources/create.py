"""Creating resources: one or a list, all or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from orchestrator.database import new_guid
from orchestrator.errors import AlreadyExists, Invalid
from orchestrator.resources import changes, history, past, queues, schemas
from orchestrator.resources.changes import ResourcesFreed
from orchestrator.resources.model import Resource, ResourceStatus
from orchestrator.transaction import Transaction

RESOURCES_IN_ONE_REQUEST = 1000
TAG_LIMIT = 30
OVERDUE_RANK = -(2**60)  # before every priority


@dataclass
class NewResource:
    """`guid` is given before the transaction, so that a retried one makes the same resource."""

    value: Any = None
    reference: str | None = None
    tags: list[str] = field(default_factory=list)
    priority: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)
    postpone_until: datetime | None = None
    deadline: datetime | None = None
    guid: str = field(default_factory=new_guid)


def create(tx: Transaction, queue_key: str, orders: Sequence[NewResource]) -> list[str]:
    """Create all of `orders` in the queue, or none; return their public ids in the order given.

    A reference that is there already is refused, or answered with the one that has it: the queue's
    `on_duplicate` says which.
    """
    queue = queues.kept(tx, queue_key)
    are_several = len(orders) > 1
    values = {f"{n}.value" if are_several else "value": order.value for n, order in enumerate(orders)}
    schemas.check_values(queue.json_schema, values)
    present = _present(tx, queue, orders)
    fresh = [order for order in orders if order.reference is None or order.reference not in present]
    if fresh:
        _insert(tx, queue, fresh)
    return [present.get(order.reference or "", order.guid) for order in orders]


def _present(tx: Transaction, queue: Any, orders: Sequence[NewResource]) -> dict[str, str]:
    """Public ids by reference, of resources that the queue has already."""
    given = [order.reference for order in orders if order.reference is not None]
    if not given:
        return {}
    first_place: dict[str, int] = {}
    for index, order in enumerate(orders):
        if order.reference is not None and first_place.setdefault(order.reference, index) != index:
            said = f"{order.reference!r} is given twice; references are unique in a queue"
            raise Invalid.field(f"{index}.reference", said)
    query = select(Resource.reference, Resource.public_id).where(
        Resource.tenant_id == tx.tenant_id, Resource.queue_id == queue.id, Resource.reference.in_(given)
    )
    present = {row.reference: row.public_id for row in tx.execute(query)}
    # In this order: what moves to history between the two looks is seen by both.
    present |= past.with_references(tx, queue.id, [one for one in given if one not in present])
    if present and queue.on_duplicate == "refuse":
        raise AlreadyExists(
            f"Queue {queue.name!r} already has a resource with the reference {min(present)!r}."
        )
    return present


def _insert(tx: Transaction, queue: Any, orders: Sequence[NewResource]) -> None:
    rows = [_row(tx, queue.id, order) for order in orders]
    tx.execute(insert(Resource), rows)
    guids = [row["public_id"] for row in rows]
    query = select(Resource.public_id, Resource.id).where(
        Resource.tenant_id == tx.tenant_id, Resource.public_id.in_(guids)
    )
    ids = {row.public_id: row.id for row in tx.execute(query)}
    rows = [row | {"id": ids[row["public_id"]]} for row in rows]
    changes.insert_terms(tx, rows)
    history.write(tx, [history.line(tx, "create", row, value=row["value"]) for row in rows])
    tx.announce(ResourcesFreed(queue.id, ()))


def _row(tx: Transaction, queue_id: int, order: NewResource) -> dict[str, Any]:
    postponed = order.postpone_until is not None and order.postpone_until > tx.now
    overdue = order.deadline is not None and order.deadline <= tx.now
    return {
        "tenant_id": tx.tenant_id,
        "public_id": order.guid,
        "queue_id": queue_id,
        "reference": order.reference,
        "value": order.value,
        "parameters": order.parameters,
        "tags": order.tags,
        "status": ResourceStatus.NEW.value,
        "priority": order.priority,
        "rank": rank(order.priority, overdue),
        "attempt": 0,
        "is_postponed": postponed,
        "postpone_until": order.postpone_until,
        "is_overdue": overdue,
        "deadline": order.deadline,
        "created_by": str(tx.actor)[:200],
        "created_at": tx.now,
        "updated_at": tx.now,
        "version": 0,
        "fence": 0,
        "read_fence": 0,
        "write_fence": 0,
    }


def rank(priority: int, is_overdue: bool) -> int:
    """Its place in the line: ascending, so that the highest priority is first, and the overdue before it."""
    return (OVERDUE_RANK if is_overdue else 0) - priority
