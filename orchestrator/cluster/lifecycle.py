"""The verbs of nodes (register, renew, leave, drain) and of the cluster's leases (acquire, give up)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator import __version__
from orchestrator.cluster.model import Lease, Node
from orchestrator.database import database_time
from orchestrator.errors import Conflict, NotFound
from orchestrator.transaction import Transaction

SCHEDULER, WORKER = "scheduler", "worker"
MASTER = "master"  # the lease of the one scheduler that does the duties
JOINING = "joining"  # nobody's lease: its row is what joining schedulers queue at


@dataclass(frozen=True)
class NodeIdentity:
    """One process's life as a node. `owner` is what it writes where it holds something."""

    name: str
    kind: str
    host: str
    pid: int
    working_path: str
    cluster_id: int = 0
    cluster_size: int = 0  # 0 where numbers are on lease: the size is how many live
    version: str = __version__
    is_designated: bool = False
    incarnation: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def owner(self) -> str:
        return owner_of(self.name, self.incarnation)


def owner_of(name: str, incarnation: str) -> str:
    return f"{name}#{incarnation[:8]}"


class NodeAlive(Conflict):
    """Another process holds this place in the cluster"""

    code = "node_alive"


def take_turn(tx: Transaction) -> None:
    """Schedulers join one after the other: each sees in this transaction all that joined before it."""
    tx.execute(select(Lease.name).where(Lease.name == JOINING).with_for_update())


def register(tx: Transaction, me: NodeIdentity, lease: timedelta, replace: str | None = None) -> str | None:
    """Take the place named `me.name`. Returns the owner that is replaced, if there was one.

    A place whose lease has not ended is refused with `NodeAlive`, unless it is held by the incarnation
    `replace`, which the caller has found to be dead.
    """
    present = find(tx, me.name)
    row = _row(tx, me, lease)
    if present is None:
        try:
            tx.execute(insert(Node), row)
        except IntegrityError:
            raise NodeAlive(f"{me.name} is being registered by another process at this moment.") from None
        return None
    if present.incarnation != replace and _is_live(tx, present):
        raise NodeAlive(already_running(present))
    guard = update(Node).where(Node.id == present.id, Node.incarnation == present.incarnation)
    if tx.execute(guard.values(**row)).rowcount != 1:
        raise NodeAlive(f"{me.name} was taken by another process at this moment.")
    return owner_of(present.name, present.incarnation)


def already_running(node: Any) -> str:
    return (
        f"{node.name} is already running on {node.host} (process {node.pid}), "
        f"last seen {node.last_seen:%H:%M:%S} UTC: give each scheduler its own SCHEDULER_CLUSTER_ID."
    )


def _row(tx: Transaction, me: NodeIdentity, lease: timedelta) -> dict[str, Any]:
    return {
        "name": me.name,
        "kind": me.kind,
        "cluster_id": me.cluster_id,
        "cluster_size": me.cluster_size,
        "is_designated": me.is_designated,
        "incarnation": me.incarnation,
        "host": me.host,
        "pid": me.pid,
        "working_path": me.working_path,
        "version": me.version,
        "is_draining": False,
        "started_at": tx.now,
        "last_seen": tx.now,
        "lease_until": tx.now + lease,
    }


def _is_live(tx: Transaction, node: Any) -> bool:
    return bool(node.lease_until > tx.now)


def renew(
    tx: Transaction, me: NodeIdentity, lease: timedelta, surroundings: dict[str, Any] | None = None
) -> Any | None:
    """Say that the node lives, and what it finds around it; return its row (with `is_draining`), or None
    where its place is lost."""
    mine = (Node.name == me.name, Node.incarnation == me.incarnation)
    said: dict[str, Any] = {"last_seen": tx.now, "lease_until": tx.now + lease}
    if surroundings is not None:
        said["surroundings"] = surroundings
    alive = update(Node).where(*mine).values(said)
    if tx.execute(alive).rowcount != 1:
        return None
    return find(tx, me.name)


def leave(tx: Transaction, me: NodeIdentity) -> None:
    """The node ends cleanly: its row goes, so that its place is free at once."""
    tx.execute(delete(Node).where(Node.name == me.name, Node.incarnation == me.incarnation))


def forget(tx: Transaction, kept: timedelta) -> int:
    """Nodes that have been silent for longer than `kept`, of every kind. Returns how many."""
    return int(tx.execute(delete(Node).where(Node.lease_until < tx.now - kept)).rowcount)


def drain(tx: Transaction, name: str) -> None:
    """Ask a node to stop taking work, finish or give back what it holds, and end."""
    if tx.execute(update(Node).where(Node.name == name).values(is_draining=True)).rowcount != 1:
        raise NotFound(f"There is no node {name!r}.")


def find(tx: Transaction, name: str) -> Any | None:
    return tx.execute(select(*Node.__table__.columns).where(Node.name == name)).one_or_none()


def living(tx: Transaction, kind: str) -> list[Any]:
    """Nodes of a kind whose lease has not ended."""
    query = select(*Node.__table__.columns).where(Node.kind == kind, Node.lease_until > database_time())
    return list(tx.execute(query.order_by(Node.name)).all())


# Named leases -------------------------------------------------------------------------------------------


def acquire_lease(tx: Transaction, name: str, holder: str, lease: timedelta) -> int | None:
    """Take, or renew, the lease. Returns its epoch, which grows with each new holder; None: another has it.

    The row of each lease is there from the first migration on.
    """
    tx.step = "master"
    until: datetime = tx.now + lease
    mine = update(Lease).where(
        Lease.name == name, Lease.holder == holder, Lease.lease_until > database_time()
    )
    if tx.execute(mine.values(lease_until=until)).rowcount == 1:
        return _epoch(tx, name, holder)
    free = update(Lease).where(
        Lease.name == name, or_(Lease.lease_until <= database_time(), Lease.holder == "")
    )
    values = {"holder": holder, "epoch": Lease.epoch + 1, "lease_until": until}
    if tx.execute(free.values(**values)).rowcount == 1:
        return _epoch(tx, name, holder)
    return None


def holder_of(tx: Transaction, name: str) -> str | None:
    """Who has the lease at this moment."""
    query = select(Lease.holder).where(Lease.name == name, Lease.lease_until > database_time())
    return tx.execute(query.where(Lease.holder != "")).scalar_one_or_none()  # type: ignore[no-any-return]


def _epoch(tx: Transaction, name: str, holder: str) -> int | None:
    query = select(Lease.epoch).where(Lease.name == name, Lease.holder == holder)
    return tx.execute(query).scalar_one_or_none()  # type: ignore[no-any-return]


def lock_lease(tx: Transaction, name: str, holder: str, epoch: int) -> bool:
    """Within a transaction: whether the lease still stands. A take-over waits until this one has ended."""
    query = select(Lease.epoch).where(
        Lease.name == name,
        Lease.holder == holder,
        Lease.epoch == epoch,
        Lease.lease_until > database_time(),
    )
    return tx.execute(query.with_for_update()).first() is not None


def give_up_lease(tx: Transaction, name: str, holder: str) -> None:
    gone = update(Lease).where(Lease.name == name, Lease.holder == holder)
    tx.execute(gone.values(holder="", lease_until=tx.now))
