"""The verbs of semaphores: create, change, delete, and finding them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import AlreadyExists, Conflict, NotFound
from orchestrator.limits.model import Permit, Requirement, Semaphore, SemaphoreKind
from orchestrator.transaction import Transaction


@dataclass
class NewSemaphore:
    """`permits` at once; a run holds them for at most `lease_seconds`, where that is given."""

    name: str
    permits: int
    description: str = ""
    lease_seconds: int | None = None
    kind: SemaphoreKind = SemaphoreKind.NAMED


def create(tx: Transaction, new: NewSemaphore) -> str:
    """Create a semaphore; return its public id."""
    if _find(tx, new.name, new.kind) is not None:
        raise AlreadyExists(f"There is already a semaphore named {new.name!r}; names are unique.")
    public_id = new_guid()
    row = {
        "tenant_id": tx.tenant_id,
        "public_id": public_id,
        "kind": new.kind.value,
        "name": new.name,
        "description": new.description,
        "permits": new.permits,
        "lease_seconds": new.lease_seconds,
        "created_at": tx.now,
    }
    tx.execute(insert(Semaphore), row)
    if new.kind == SemaphoreKind.NAMED:
        audit.record(tx, "semaphore.create", new.name, permits=new.permits)
    return public_id


def change(tx: Transaction, key: str, **changes: Any) -> Any:
    """Change name, description, permits or lease; return the row as it was.

    Fewer permits throw nobody out: no new ones are given until as many have come back.
    """
    semaphore = existing(tx, key)
    if "name" in changes and changes["name"] != semaphore.name and _find(tx, changes["name"]) is not None:
        raise AlreadyExists(f"There is already a semaphore named {changes['name']!r}; names are unique.")
    if changes:
        mine = update(Semaphore).where(Semaphore.id == semaphore.id, Semaphore.tenant_id == tx.tenant_id)
        tx.execute(mine.values(**changes))
        audit.record(tx, "semaphore.change", semaphore.name, **changes)
    return semaphore


def remove(tx: Transaction, key: str) -> None:
    """Delete a semaphore that no process requires and no run holds."""
    semaphore = existing(tx, key)
    required = select(Requirement.id).where(Requirement.semaphore_id == semaphore.id).limit(1)
    if tx.execute(required).first():
        raise Conflict(f"Semaphore {semaphore.name!r} is required by a process; take it off that first.")
    if tx.execute(select(Permit.id).where(Permit.semaphore_id == semaphore.id).limit(1)).first():
        raise Conflict(f"Runs still hold permits of semaphore {semaphore.name!r}; wait for their ends.")
    tx.execute(delete(Semaphore).where(Semaphore.id == semaphore.id, Semaphore.tenant_id == tx.tenant_id))
    audit.record(tx, "semaphore.delete", semaphore.name)


_FIND = select(*Semaphore.__table__.columns).where(
    Semaphore.tenant_id == bindparam("p_tenant_id"),
    Semaphore.kind == bindparam("p_kind"),
    or_(Semaphore.name == bindparam("p_key"), Semaphore.public_id == bindparam("p_id")),
)


def _find(tx: Transaction, key: str, kind: SemaphoreKind = SemaphoreKind.NAMED) -> Any | None:
    asked = {"p_tenant_id": tx.tenant_id, "p_kind": kind.value, "p_key": key, "p_id": key.lower()}
    return tx.execute(_FIND, asked).first()


def existing(tx: Transaction, key: str) -> Any:
    semaphore = _find(tx, key)
    if semaphore is None:
        raise NotFound(f"There is no semaphore {key!r}.")
    return semaphore
