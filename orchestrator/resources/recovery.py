"""What happens to resources without anybody asking: runs end, dates pass, work stands still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import and_, bindparam, delete, false, or_, select, true

from orchestrator.database import BY_KEY, database_time
from orchestrator.resources import changes, locks, queues, retries, search
from orchestrator.resources.create import rank
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import ErrorKind, Queue, Resource, ResourceStatus, Wait
from orchestrator.transaction import Transaction

LIMIT = 200
_OF_RUN = or_(
    Resource.taken_by == bindparam("p_run_id"),
    Resource.read_run_id == bindparam("p_run_id"),
    Resource.write_run_id == bindparam("p_run_id"),
)
_IDS_OF_RUN = select(Resource.id).where(_OF_RUN)
# By their ids: InnoDB would else lock entries of the index by runs before the rows, and who finishes a
# resource locks its row before that entry.
_LOCK_OF_RUN = (
    select(*search.COLUMNS)
    .with_hint(Resource, BY_KEY, "mysql")
    .where(Resource.id.in_(bindparam("p_ids", expanding=True)), _OF_RUN)
    .order_by(Resource.id)
    .with_for_update()
)
_FREE = (
    select(Resource.id, Resource.version)
    .where(Resource.id.in_(bindparam("p_ids", expanding=True)))
    .with_for_update(skip_locked=True)
)


def run_ended(tx: Transaction, run_id: int) -> None:
    """The run is over, however it ended: its undated locks are released, in the transaction of its end,
    and what it had not finished goes the way of its queue's policy. Dated locks stay until their date."""
    asked = {"p_run_id": run_id}
    ids = sorted(tx.execute(_IDS_OF_RUN, asked).scalars())  # the run has ended: they become no more
    for row in tx.execute(_LOCK_OF_RUN, asked | {"p_ids": ids}).all() if ids else ():
        own = replace(tx, tenant_id=row.tenant_id)
        undated = [
            mode
            for mode in Mode
            if getattr(row, f"{mode}_run_id") == run_id and getattr(row, f"{mode}_until") is None
        ]
        values: dict[str, Any] = locks.freeing(undated)
        if row.taken_by == run_id:
            values["taken_by"] = None
            if row.status == ResourceStatus.IN_PROGRESS:
                values |= retries.after_loss(own, queues.by_id(own, row.queue_id), row)
        if values:
            changes.apply(own, "run_ended", row, values, Initiator(run_id=run_id), frees=True)


def sweep(tx: Transaction) -> dict[str, int]:
    """All that time brings about, for all tenants; safe to run twice. Returns counts of what it changed."""
    counts = _each(tx, "expired", _expired(), _expire)
    counts += _each(tx, "promoted", _due(), _promote)
    counts += _each(tx, "overdue", _past_deadline(), _put_first)
    counts += _abandon(tx)
    gone = delete(Wait).where(Wait.alive_until < tx.now - timedelta(minutes=1))
    return dict(counts + Counter(hung_up=tx.execute(gone).rowcount))


def _each(tx: Transaction, done: str, query: Any, change: Any) -> Counter[str]:
    """One that cannot be changed keeps no other, of whatever tenant, from it."""
    counts: Counter[str] = Counter()
    rows: Sequence[Any] = tx.execute(query.limit(LIMIT)).all()
    for row in _locked_at_once(tx, rows) if rows else ():
        own = replace(tx, tenant_id=row.tenant_id)
        counts += own.attempt(partial(_change, own, done, change, row), sweep=done, resource=row.id)
    return counts


def _change(tx: Transaction, done: str, change: Any, row: Any) -> Counter[str]:
    change(tx, row)
    return Counter([done])


def _locked_at_once(tx: Transaction, rows: Sequence[Any]) -> list[Any]:
    """Those that nobody else has locked, nor has changed: a sweep holds many at once, in no order that others
    keep, and so it waits for none. The next one looks again."""
    free = {row.id: row.version for row in tx.execute(_FREE, {"p_ids": [row.id for row in rows]})}
    return [row for row in rows if free.get(row.id) == row.version]


def _expired() -> Any:
    past = or_(Resource.read_until <= database_time(), Resource.write_until <= database_time())
    return select(*search.COLUMNS).where(past)


def _expire(tx: Transaction, row: Any) -> None:
    modes = [m for m in Mode if (u := getattr(row, f"{m}_until")) is not None and u <= tx.now]
    if modes:
        changes.apply(
            tx, "lock_expired", row, locks.freeing(modes), frees=True, locks=[str(mode) for mode in modes]
        )


def _due() -> Any:
    return select(*search.COLUMNS).where(
        Resource.is_postponed == true(), Resource.postpone_until <= database_time()
    )


def _promote(tx: Transaction, row: Any) -> None:
    changes.apply(tx, "due", row, {"is_postponed": False}, frees=True)


def _past_deadline() -> Any:
    return select(*search.COLUMNS).where(Resource.is_overdue == false(), Resource.deadline <= database_time())


def _put_first(tx: Transaction, row: Any) -> None:
    changes.apply(tx, "overdue", row, {"is_overdue": True, "rank": rank(row.priority, True)})


def _abandon(tx: Transaction) -> Counter[str]:
    """Queues with a limit: New for too long, or in progress without progress."""
    limited = select(*Queue.__table__.columns).where(
        or_(Queue.abandon_new_minutes.is_not(None), Queue.abandon_in_progress_minutes.is_not(None))
    )
    counts: Counter[str] = Counter()
    for queue in tx.execute(limited).all():
        of_queue = select(*search.COLUMNS).where(Resource.queue_id == queue.id, _stale(tx, queue))
        counts += _each(tx, "abandoned", of_queue, _give_up)
    return counts


def _stale(tx: Transaction, queue: Any) -> Any:
    cases = []
    if queue.abandon_new_minutes is not None:
        since = tx.now - timedelta(minutes=queue.abandon_new_minutes)
        cases.append(and_(Resource.status == ResourceStatus.NEW.value, Resource.updated_at < since))
    if queue.abandon_in_progress_minutes is not None:
        since = tx.now - timedelta(minutes=queue.abandon_in_progress_minutes)
        cases.append(and_(Resource.status == ResourceStatus.IN_PROGRESS.value, Resource.progress_at < since))
    return or_(*cases)


def _give_up(tx: Transaction, row: Any) -> None:
    """Error, and out of the hands of the run that had it: what that still says comes too late."""
    worker = row.taken_by
    held = [mode for mode in Mode if worker is not None and getattr(row, f"{mode}_run_id") == worker]
    values = {
        **locks.freeing(held),
        "status": ResourceStatus.ERROR.value,
        "error_kind": ErrorKind.ABANDONED.value,
        "error": "It was given up: nothing happened to it for longer than its queue allows.",
        "taken_by": None,
        "updated_at": tx.now,
    }
    changes.apply(tx, "abandon", row, values, frees=True)
