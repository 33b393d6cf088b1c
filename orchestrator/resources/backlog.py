"""How much of a queue can be taken at this moment: counted along its line, and no further than asked for.

Without a condition the database counts by the index that `take` reads. A condition is checked row by row:
an equality of a parameter or a tag leads to the rows, anything else reads over the others, two thousand in
one look, and the next look goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, false, func, or_, select

from orchestrator.resources import search
from orchestrator.resources.conditions import PLAIN_FIELDS, Condition
from orchestrator.resources.model import Resource, ResourceStatus, ResourceTerm
from orchestrator.transaction import Transaction

CHUNK = 500
ROWS_IN_ONE_LOOK = 2000
_START = (-(2**62), 0)


@dataclass(frozen=True)
class Count:
    """A count as far as it has come.

    `found` goes up to the limit asked for; `oldest` is since when the one of them that has waited longest
    could have been taken. Not `is_whole`: go on from `after`.
    """

    found: int = 0
    oldest: datetime | None = None
    after: tuple[int, int] = _START
    is_whole: bool = False


# Since its creation or, where it was put off, since it was due.
_SINCE = case(
    (Resource.postpone_until > Resource.created_at, Resource.postpone_until), else_=Resource.created_at
).label("since")
_UNLOCKED = or_(
    and_(Resource.read_run_id.is_(None), Resource.read_person.is_(None)),
    Resource.read_until <= bindparam("p_now"),
)
_CAN_BE_TAKEN = (
    Resource.queue_id == bindparam("p_queue_id"),
    Resource.tenant_id == bindparam("p_tenant_id"),
    Resource.status == ResourceStatus.NEW.value,
    Resource.is_postponed == false(),
    _UNLOCKED,
)
_HEAD = (
    select(_SINCE)
    .where(*_CAN_BE_TAKEN)
    .order_by(Resource.rank, Resource.id)
    .limit(bindparam("p_limit"))
    .subquery()
)
_COUNT = select(func.count(), func.min(_HEAD.c.since)).select_from(_HEAD)

_SEEN = [
    Resource.id,
    Resource.rank,
    _SINCE,
    *[Resource.__table__.columns[name] for name in (*PLAIN_FIELDS, "parameters", "value")],
]
_AFTER = or_(
    Resource.rank > bindparam("p_rank"),
    and_(Resource.rank == bindparam("p_rank"), Resource.id > bindparam("p_id")),
)
_LINE = select(*_SEEN).where(*_CAN_BE_TAKEN, _AFTER).order_by(Resource.rank, Resource.id).limit(CHUNK)
_TERM_LINE = (
    select(*_SEEN)
    .join(ResourceTerm, ResourceTerm.resource_id == Resource.id)
    .where(
        ResourceTerm.queue_id == bindparam("p_queue_id"),
        ResourceTerm.term == bindparam("p_term"),
        ResourceTerm.status == ResourceStatus.NEW.value,
        ResourceTerm.is_postponed == false(),
        Resource.tenant_id == bindparam("p_tenant_id"),
        _UNLOCKED,
        or_(
            ResourceTerm.rank > bindparam("p_rank"),
            and_(ResourceTerm.rank == bindparam("p_rank"), ResourceTerm.resource_id > bindparam("p_id")),
        ),
    )
    .order_by(ResourceTerm.rank, ResourceTerm.resource_id)
    .limit(CHUNK)
)


def count(
    tx: Transaction, queue_id: int, condition: Condition, limit: int, begun: Count | None = None
) -> Count:
    """How many resources, up to `limit`, a robot could take now; `begun` is what an earlier look came to."""
    asked = {"p_queue_id": queue_id, "p_tenant_id": tx.tenant_id, "p_now": tx.now}
    if condition == Condition():
        found, oldest = tx.execute(_COUNT, asked | {"p_limit": limit}).one()
        return Count(found, oldest, is_whole=True)
    line = _LINE
    if condition.terms:
        line, asked = _TERM_LINE, asked | {"p_term": condition.terms[0]}
    so_far = begun or Count()
    for _ in range(ROWS_IN_ONE_LOOK // CHUNK):
        rank, last = so_far.after
        rows: Sequence[Any] = tx.execute(line, asked | {"p_rank": rank, "p_id": last}).all()
        so_far = _with(so_far, rows, condition)
        if len(rows) < CHUNK or so_far.found >= limit:
            return replace(so_far, found=min(so_far.found, limit), is_whole=True)
    return so_far


def _with(so_far: Count, rows: Sequence[Any], condition: Condition) -> Count:
    fitting = [row.since for row in rows if condition.holds(search.plain(row))]
    known = [so_far.oldest] if so_far.oldest is not None else []
    return Count(
        found=so_far.found + len(fitting),
        oldest=min([*known, *fitting], default=None),
        after=(rows[-1].rank, rows[-1].id) if rows else so_far.after,
    )
