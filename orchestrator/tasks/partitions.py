"""Who serves which partitions: leases that a scheduler acquires, renews and releases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update

from orchestrator.database import database_time
from orchestrator.tasks.claim import Ownership
from orchestrator.tasks.model import Partition
from orchestrator.tasks.recovery import take_back_from
from orchestrator.transaction import Transaction


def acquire(tx: Transaction, wanted: Iterable[int], owner: str, lease: timedelta) -> list[Ownership]:
    """Take those of `wanted` that nobody holds, or whose lease has ended.

    The epoch grows with each change of owner: writes of an earlier epoch match no row from then on. What
    an earlier owner had claimed goes back to its old places.
    """
    ids = _lock_free(tx, sorted(wanted))
    if not ids:
        return []
    taken = (
        update(Partition)
        .where(Partition.id.in_(ids), _is_free())
        .values(owner=owner, epoch=Partition.epoch + 1, lease_until=tx.now + lease)
    )
    tx.execute(taken)
    owned = [o for o in held(tx, owner) if o.partition in ids]
    take_back_from(tx, [o.partition for o in owned], owner)
    return owned


def _lock_free(tx: Transaction, wanted: list[int]) -> list[int]:
    """Those that nobody holds, without those that a rival is taking at this moment: who waited for each other
    were seen to get leases that had ended before they were written."""
    if not wanted:
        return []
    query = select(Partition.id).where(Partition.id.in_(wanted), _is_free()).order_by(Partition.id)
    return list(tx.execute(query.with_for_update(skip_locked=True)).scalars())


def _is_free() -> Any:
    return or_(
        Partition.owner == "",
        Partition.lease_until.is_(None),
        Partition.lease_until < database_time(),
    )


def renew(tx: Transaction, owner: str, lease: timedelta) -> list[Ownership]:
    """Renew every lease that has not ended; return what is owned."""
    standing = (
        update(Partition)
        .where(Partition.owner == owner, Partition.lease_until > database_time())
        .values(lease_until=tx.now + lease)
    )
    tx.execute(standing)
    return held(tx, owner)


def held(tx: Transaction, owner: str) -> list[Ownership]:
    query = select(Partition.id, Partition.epoch).where(
        Partition.owner == owner, Partition.lease_until > database_time()
    )
    return [Ownership(row.id, owner, row.epoch) for row in tx.execute(query.order_by(Partition.id))]


def release(tx: Transaction, owner: str, partitions: Iterable[int]) -> None:
    """Give partitions up at once, so that another need not wait for the lease's end."""
    given = (
        update(Partition)
        .where(Partition.owner == owner, Partition.id.in_(sorted(partitions)))
        .values(owner="", lease_until=None)
    )
    tx.execute(given)


def unowned(tx: Transaction) -> list[int]:
    """Partitions that nobody serves."""
    return list(tx.execute(select(Partition.id).where(_is_free()).order_by(Partition.id)).scalars())
