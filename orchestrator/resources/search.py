"""Finding resources: the head of a queue's line for `take`, and pages for those who only look."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Integer, and_, bindparam, false, or_, select

from orchestrator.database import kept_guid
from orchestrator.resources.conditions import Condition
from orchestrator.resources.locks import Mode
from orchestrator.resources.model import STATUS_NAMES, Resource, ResourceStatus, ResourceTerm
from orchestrator.transaction import Transaction

CHUNK = 20
CHUNK_LIMIT = 640  # each chunk is twice as large as the one before: a long look takes few questions
# Written out: for a limit that it does not know PostgreSQL may plan to sort the whole line.
_LIMIT: Any = bindparam("p_limit", type_=Integer, literal_execute=True)
COLUMNS = tuple(Resource.__table__.columns)
# What says whether it may be given: reading twenty whole rows took most of the time of a take.
_LOCKS = [f"{mode}_{part}" for mode in Mode for part in ("run_id", "person", "until", "fence")]
_LIGHT = tuple(Resource.__table__.columns[name] for name in ("id", "rank", "status", "version", *_LOCKS))

_AFTER = or_(
    Resource.rank > bindparam("p_rank"),
    and_(Resource.rank == bindparam("p_rank"), Resource.id > bindparam("p_id")),
)
_LINE = (
    select(*COLUMNS)
    .where(
        Resource.queue_id == bindparam("p_queue_id"),
        Resource.tenant_id == bindparam("p_tenant_id"),
        Resource.status == bindparam("p_status"),
        Resource.is_postponed == false(),
    )
    .order_by(Resource.rank, Resource.id)
    .limit(_LIMIT)
)
_LINE_AFTER = _LINE.where(_AFTER)
_LIGHT_LINE, _LIGHT_LINE_AFTER = _LINE.with_only_columns(*_LIGHT), _LINE_AFTER.with_only_columns(*_LIGHT)
_TERM_AFTER = or_(
    ResourceTerm.rank > bindparam("p_rank"),
    and_(ResourceTerm.rank == bindparam("p_rank"), ResourceTerm.resource_id > bindparam("p_id")),
)
_TERM_LINE = (
    select(*COLUMNS)
    .join(ResourceTerm, ResourceTerm.resource_id == Resource.id)
    .where(
        ResourceTerm.queue_id == bindparam("p_queue_id"),
        ResourceTerm.term == bindparam("p_term"),
        ResourceTerm.status == bindparam("p_status"),
        ResourceTerm.is_postponed == false(),
        Resource.tenant_id == bindparam("p_tenant_id"),
    )
    .order_by(ResourceTerm.rank, ResourceTerm.resource_id)
    .limit(_LIMIT)
)
_TERM_LINE_AFTER = _TERM_LINE.where(_TERM_AFTER)


def plain(row: Any) -> Mapping[str, Any]:
    """A row as conditions see it."""
    return {
        "status": STATUS_NAMES[ResourceStatus(row.status)],
        "priority": row.priority,
        "tags": row.tags,
        "reference": row.reference,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "parameters": row.parameters,
        "value": row.value,
    }


def is_light(condition: Condition) -> bool:
    """Whether it asks for nothing but the status, which the index alone answers."""
    return all(clause.field == "status" for clause in condition.walk())


def in_line(tx: Transaction, queue_id: int, condition: Condition, *, light: bool = False) -> Iterator[Any]:
    """Rows that fit, in the order of service, read a chunk at a time: the caller stops when it has one.

    `light`, for a condition that `is_light`: id, rank, status, version and locks only.

    A condition that names no status means New: the rest is taken or done. An equality of a parameter or a
    tag is an index entry of its own, so that a rare value is found without reading over the others.
    """
    terms = condition.terms
    lines = [
        _of_status(tx, queue_id, condition, status, terms[0] if terms else None, light)
        for status in sorted(meant(condition))
    ]
    yield from heapq.merge(*lines, key=lambda row: (row.rank, row.id))


def meant(condition: Condition) -> frozenset[ResourceStatus]:
    """The statuses in which `take` looks."""
    return condition.statuses if condition.names("status") else frozenset({ResourceStatus.NEW})


def is_wanted(row: Any, condition: Condition) -> bool:
    """Whether a `take` with this condition would give this row."""
    return ResourceStatus(row.status) in meant(condition) and condition.holds(plain(row))


def _of_status(
    tx: Transaction,
    queue_id: int,
    condition: Condition,
    status: ResourceStatus,
    term: int | None,
    light: bool,
) -> Iterator[Any]:
    asked: dict[str, Any] = {"p_queue_id": queue_id, "p_tenant_id": tx.tenant_id, "p_status": status.value}
    if term is not None:
        asked["p_term"] = term
    first, after = (_LINE, _LINE_AFTER) if term is None else (_TERM_LINE, _TERM_LINE_AFTER)
    if light:
        first, after = _LIGHT_LINE, _LIGHT_LINE_AFTER
    asked["p_limit"] = CHUNK
    rows: Sequence[Any] = tx.execute(first, asked).all()
    while rows:
        yield from rows if light else (row for row in rows if condition.holds(plain(row)))
        if len(rows) < asked["p_limit"]:
            return
        last = rows[-1]
        asked |= {"p_rank": last.rank, "p_id": last.id, "p_limit": min(2 * asked["p_limit"], CHUNK_LIMIT)}
        rows = tx.execute(after, asked).all()


_BY_PUBLIC_ID = select(*COLUMNS).where(
    Resource.tenant_id == bindparam("p_tenant_id"), Resource.public_id == bindparam("p_public_id")
)
_BY_ID = select(*COLUMNS).where(
    Resource.tenant_id == bindparam("p_tenant_id"), Resource.id == bindparam("p_id")
)

_BY_IDS = select(*COLUMNS).where(
    Resource.tenant_id == bindparam("p_tenant_id"), Resource.id.in_(bindparam("p_ids", expanding=True))
)
_BY_PUBLIC_IDS = select(*COLUMNS).where(
    Resource.tenant_id == bindparam("p_tenant_id"),
    Resource.public_id.in_(bindparam("p_public_ids", expanding=True)),
)


def by_ids(tx: Transaction, ids: Sequence[int]) -> Sequence[Any]:
    return tx.execute(_BY_IDS, {"p_tenant_id": tx.tenant_id, "p_ids": list(ids)}).all()  # type: ignore[no-any-return]


def by_public_ids(tx: Transaction, public_ids: Sequence[str]) -> Sequence[Any]:
    """Ids as they are kept."""
    asked = {"p_tenant_id": tx.tenant_id, "p_public_ids": list(public_ids)}
    return tx.execute(_BY_PUBLIC_IDS, asked).all()  # type: ignore[no-any-return]


def by_public_id(tx: Transaction, public_id: str) -> Any | None:
    asked = {"p_tenant_id": tx.tenant_id, "p_public_id": kept_guid(public_id)}
    return tx.execute(_BY_PUBLIC_ID, asked).one_or_none()


def by_id(tx: Transaction, resource_id: int) -> Any | None:
    return tx.execute(_BY_ID, {"p_tenant_id": tx.tenant_id, "p_id": resource_id}).one_or_none()
