"""Who serves which partitions: leases that a scheduler acquires, renews and releases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import case, or_, select, update

from orchestrator.database import database_time
from orchestrator.tasks.claim import Ownership
from orchestrator.tasks.heads import HeadsQuery
from orchestrator.tasks.model import Lane, Partition
from orchestrator.tasks.recovery import take_back_from
from orchestrator.transaction import Transaction


def acquire(tx: Transaction, wanted: Iterable[int], owner: str, lease: timedelta) -> list[Ownership]:
    """Take those of `wanted` that nobody holds, or whose lease has ended.

    The epoch grows with each change of owner: writes of an earlier epoch match no row from then on. What
    an earlier owner had claimed goes back to its old places.
    """
    free = _lock_free(tx, sorted(wanted))
    if not free:
        return []
    ids, deserted = [row.id for row in free], {row.id for row in free if row.owner}
    tx.step = "adopt"
    taken = (
        update(Partition)
        .where(Partition.id.in_(ids), _is_free())
        .values(owner=owner, epoch=Partition.epoch + 1, lease_until=tx.now + lease)
    )
    tx.execute(taken)
    owned = [o for o in held(tx, owner) if o.partition in ids]
    take_back_from(tx, [o.partition for o in owned], owner)
    deaths = _count_deaths(tx, [o.partition for o in owned if o.partition in deserted])
    for ownership in owned:
        ownership.deaths = deaths.get(ownership.partition, 0)
    return owned


def _count_deaths(tx: Transaction, deserted: list[int]) -> dict[int, int]:
    """Of partitions whose owner has died: how many in succession did so with the same task at the head."""
    heads = {head.partition: head for head in HeadsQuery(deserted).read(tx) if head.lane == Lane.SCHEDULER}
    if not heads:
        return {}
    position = case({head.partition: head.position for head in heads.values()}, value=Partition.id)
    again = case((Partition.death_position == position, Partition.deaths + 1), else_=1)
    counted = update(Partition).where(Partition.id.in_(heads))
    # In this order: MariaDB has a later assignment see what an earlier one has set.
    tx.execute(counted.ordered_values((Partition.deaths, again), (Partition.death_position, position)))
    query = select(Partition.id, Partition.deaths).where(Partition.id.in_(heads))
    return {row.id: row.deaths for row in tx.execute(query)}


def _lock_free(tx: Transaction, wanted: list[int]) -> Sequence[Any]:
    """Those that nobody holds, without those that a rival is taking at this moment: who waited for each other
    were seen to get leases that had ended before they were written."""
    if not wanted:
        return []
    query = select(Partition.id, Partition.owner).where(Partition.id.in_(wanted), _is_free())
    found = tx.execute(query.order_by(Partition.id).with_for_update(skip_locked=True))
    return found.all()  # type: ignore[no-any-return]


def _is_free() -> Any:
    return or_(
        Partition.owner == "",
        Partition.lease_until.is_(None),
        Partition.lease_until < database_time(),
    )


def renew(tx: Transaction, owner: str, lease: timedelta) -> list[Ownership]:
    """Renew every lease that has not ended; return what is owned."""
    tx.step = "renew"
    _lock_in_order(tx, Partition.owner == owner)
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
    ids = sorted(partitions)
    if not ids:
        return
    tx.step = "give_back"
    _lock_in_order(tx, Partition.owner == owner, Partition.id.in_(ids))
    given = (
        update(Partition)
        .where(Partition.owner == owner, Partition.id.in_(ids))
        .values(owner="", lease_until=None)
    )
    tx.execute(given)


def desert(tx: Transaction, owner: str) -> None:
    """The owner is dead: who takes over its partitions need not wait, and is warned of what is in them."""
    _lock_in_order(tx, Partition.owner == owner)
    mine = update(Partition).where(Partition.owner == owner, Partition.lease_until.is_not(None))
    tx.execute(mine.values(lease_until=tx.now - timedelta(seconds=1)))


def _lock_in_order(tx: Transaction, *which: Any) -> None:
    """Who puts tasks into several partitions locks them by their numbers; an UPDATE alone takes them as they
    lie, which in PostgreSQL is the order in which they were last changed."""
    tx.execute(select(Partition.id).where(*which).order_by(Partition.id).with_for_update()).all()


def unowned(tx: Transaction) -> list[int]:
    """Partitions that nobody serves."""
    return list(tx.execute(select(Partition.id).where(_is_free()).order_by(Partition.id)).scalars())
