"""What the runs of a process, and all runs of a tenant, must have before they begin."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, or_, select, update

from orchestrator import audit
from orchestrator.errors import FieldError, Invalid, NotFound
from orchestrator.limits import semaphores
from orchestrator.limits.model import EVERY_PROCESS, Breaker, Requirement, Semaphore, SemaphoreKind
from orchestrator.limits.semaphores import NewSemaphore
from orchestrator.transaction import Transaction


def is_limited(tenant_id: Any, process_id: Any) -> Any:
    """As a condition of a query: whether a run of the process must ask anything before it begins.

    Part of the statement that reads the job anyway, so that a process without limits costs no other.
    """
    required = exists().where(
        Requirement.tenant_id == tenant_id,
        or_(Requirement.process_id == EVERY_PROCESS, Requirement.process_id == process_id),
    )
    return or_(required, exists().where(Breaker.process_id == process_id, Breaker.tenant_id == tenant_id))


def require(tx: Transaction, process: Any, wanted: Mapping[str, int]) -> None:
    """Let runs of the process take these numbers of permits, by the semaphores' ids or names, and no other.

    Raises `Invalid` naming the field.
    """
    found: dict[int, int] = {}
    errors = []
    for key, permits in wanted.items():
        try:
            semaphore = semaphores.existing(tx, key)
        except NotFound as missing:
            errors.append(FieldError(f"semaphores.{key}", missing.detail))
            continue
        if semaphore.id in found:
            errors.append(FieldError(f"semaphores.{key}", f"{semaphore.name!r} is named twice"))
        found[semaphore.id] = permits
    if errors:
        raise Invalid(errors=errors)
    named = select(Semaphore.id).where(
        Semaphore.tenant_id == tx.tenant_id, Semaphore.kind == SemaphoreKind.NAMED.value
    )
    mine = delete(Requirement).where(
        Requirement.tenant_id == tx.tenant_id, Requirement.process_id == process.id
    )
    tx.execute(mine.where(Requirement.semaphore_id.in_(named)))
    rows = [_row(tx, process.id, semaphore_id, permits) for semaphore_id, permits in found.items()]
    if rows:
        tx.execute(insert(Requirement), rows)
    audit.record(tx, "process.limit", process.name, semaphores=dict(wanted))


def limit_process(tx: Transaction, process: Any, at_once: int | None) -> None:
    """At most `at_once` runs of the process go on at a time; None: as many as there are robots."""
    _limit(tx, SemaphoreKind.PROCESS, str(process.id), process.id, at_once)
    audit.record(tx, "process.limit", process.name, max_concurrent=at_once)


def limit_tenant(tx: Transaction, at_once: int | None) -> None:
    """At most `at_once` runs of the whole tenant go on at a time; None: as many as there are robots."""
    _limit(tx, SemaphoreKind.TENANT, "", EVERY_PROCESS, at_once)
    audit.record(tx, "tenant.limit", str(tx.tenant_id), max_concurrent=at_once)


def _limit(tx: Transaction, kind: SemaphoreKind, name: str, process_id: int, at_once: int | None) -> None:
    found = own(tx, kind, name)
    if found is None and at_once is not None:
        semaphores.create(tx, NewSemaphore(name, at_once, kind=kind))
        found = own(tx, kind, name)
    if found is None:
        return
    mine = Requirement.semaphore_id == found.id, Requirement.tenant_id == tx.tenant_id
    if at_once is None:
        # The semaphore stays: runs hold its permits, which a limit that comes again must count.
        tx.execute(delete(Requirement).where(*mine))
        return
    tx.execute(update(Semaphore).where(Semaphore.id == found.id).values(permits=at_once))
    if tx.execute(select(Requirement.id).where(*mine)).first() is None:
        tx.execute(insert(Requirement), _row(tx, process_id, found.id, 1))


_OWN = select(*Semaphore.__table__.columns).where(
    Semaphore.tenant_id == bindparam("p_tenant_id"),
    Semaphore.kind == bindparam("p_kind"),
    Semaphore.name == bindparam("p_name"),
)


def own(tx: Transaction, kind: SemaphoreKind, name: str) -> Any | None:
    """The semaphore behind a process's or the tenant's limit, whether the limit holds now or not."""
    asked = {"p_tenant_id": tx.tenant_id, "p_kind": kind.value, "p_name": name}
    return tx.execute(_OWN, asked).one_or_none()


def of_semaphores(tx: Transaction, semaphore_ids: Collection[int]) -> set[int]:
    """The processes that require one of these; with `EVERY_PROCESS` among them, all of the tenant."""
    query = select(Requirement.process_id).where(
        Requirement.tenant_id == tx.tenant_id, Requirement.semaphore_id.in_(sorted(semaphore_ids))
    )
    return set(tx.execute(query.distinct()).scalars())


def _row(tx: Transaction, process_id: int, semaphore_id: int, permits: int) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "process_id": process_id,
        "semaphore_id": semaphore_id,
        "permits": permits,
    }
