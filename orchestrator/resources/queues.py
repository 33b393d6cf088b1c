"""The verbs of queues: create, change, delete, and finding them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, NotFound
from orchestrator.named import Named
from orchestrator.resources.model import Queue, Resource
from orchestrator.resources.schemas import check_schema
from orchestrator.transaction import Transaction

_QUEUES = Named(Queue, "queue")
existing = _QUEUES.existing


@dataclass
class NewQueue:
    """A queue with its policy. Attempts count takings: the first is 1."""

    name: str
    description: str = ""
    json_schema: Any | None = None
    on_duplicate: str = "refuse"
    on_lost: str = "new"
    max_attempts: int = 3
    retry_application_errors: bool = False
    retry_business_errors: bool = False
    retry_delay_seconds: int = 0
    retry_backoff: float = 2.0
    abandon_new_minutes: int | None = None
    abandon_in_progress_minutes: int | None = None


def create(tx: Transaction, new: NewQueue) -> str:
    """Create a queue; return its public id."""
    _QUEUES.refuse_double(tx, new.name)
    check_schema(new.json_schema)
    public_id = new_guid()
    row = asdict(new) | {"tenant_id": tx.tenant_id, "public_id": public_id, "created_at": tx.now}
    tx.execute(insert(Queue), row)
    audit.record(tx, "queue.create", new.name)
    return public_id


def change(tx: Transaction, key: str, **changes: Any) -> str:
    """Change name, description or policy; return the public id. What is in the queue stays as it is."""
    queue = existing(tx, key)
    if "name" in changes and changes["name"] != queue.name:
        _QUEUES.refuse_double(tx, changes["name"])
    check_schema(changes.get("json_schema"))
    if changes:
        mine = update(Queue).where(Queue.id == queue.id, Queue.tenant_id == tx.tenant_id)
        tx.execute(mine.values(**changes))
        audit.record(tx, "queue.change", queue.name, fields=sorted(changes))
    return str(queue.public_id)


def remove(tx: Transaction, key: str) -> None:
    """Delete an empty queue. One that holds resources is refused: they are somebody's work."""
    queue = _locked(tx, existing(tx, key))
    if tx.execute(select(Resource.id).where(Resource.queue_id == queue.id).limit(1)).first():
        raise Conflict(f"Queue {queue.name!r} still holds resources; delete those first.")
    tx.execute(delete(Queue).where(Queue.id == queue.id, Queue.tenant_id == tx.tenant_id))
    audit.record(tx, "queue.delete", queue.name)


def kept(tx: Transaction, key: str) -> Any:
    """The queue, which cannot be deleted before this transaction has ended."""
    return _locked(tx, existing(tx, key), read=True)


def _locked(tx: Transaction, queue: Any, *, read: bool = False) -> Any:
    """By its id: a search by two names would lock what it only looks at."""
    mine = select(Queue.id).where(Queue.id == queue.id, Queue.tenant_id == tx.tenant_id)
    if tx.execute(mine.with_for_update(read=read)).first() is None:
        raise NotFound(f"There is no queue {queue.name!r} any more.")
    return queue


_BY_ID = select(*Queue.__table__.columns).where(
    Queue.id == bindparam("p_id"), Queue.tenant_id == bindparam("p_tenant_id")
)


def by_id(tx: Transaction, queue_id: int) -> Any:
    return tx.execute(_BY_ID, {"p_id": queue_id, "p_tenant_id": tx.tenant_id}).one()
