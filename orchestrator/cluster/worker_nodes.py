"""The verbs of worker nodes: say that one lives, drain it, let it leave.

A worker node knows the server only by HTTP, so registering and renewing are one call, repeated every few
seconds; what it is told comes back with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, update

from orchestrator import audit
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import WORKER, NodeAlive, NodeIdentity
from orchestrator.cluster.model import Node
from orchestrator.errors import Conflict, NotFound
from orchestrator.transaction import Transaction

LEASE = timedelta(seconds=15)


@dataclass(frozen=True)
class Present:
    """`is_new` at the first word of an incarnation: whatever an earlier one held has ended with it."""

    is_new: bool
    is_draining: bool


def keep(
    tx: Transaction,
    me: NodeIdentity,
    capabilities: dict[str, Any],
    replace: str | None,
    surroundings: dict[str, Any] | None = None,
) -> Present:
    """The node lives. Raises `NodeAlive` where another process has its name, and says what to do.

    `replace` is the incarnation that the node has found to be dead: its place need not run out first.
    """
    before = cluster.find(tx, me.name)
    if before is not None and before.kind != WORKER:
        raise Conflict(f"{me.name} is the name of a {before.kind}: choose another BOTSWAIN_NODE_NAME.")
    row = cluster.renew(tx, me, LEASE)
    if row is None:
        try:
            cluster.register(tx, me, LEASE, replace)
        except NodeAlive:
            raise NodeAlive(_taken(me.name, before)) from None
    told = update(Node).where(Node.name == me.name, Node.incarnation == me.incarnation)
    tx.execute(told.values(capabilities=capabilities, surroundings=surroundings))
    return Present(is_new=row is None, is_draining=row is not None and row.is_draining)


def _taken(name: str, holder: Any | None) -> str:
    where = "" if holder is None else f" on {holder.host} (process {holder.pid})"
    return f"A worker node named {name} is already running{where}: give each its own BOTSWAIN_NODE_NAME."


def leave(tx: Transaction, name: str, incarnation: str) -> bool:
    """The node ends cleanly. One whose place has passed to another changes nothing, and is told so."""
    mine = delete(Node).where(Node.name == name, Node.incarnation == incarnation, Node.kind == WORKER)
    return bool(tx.execute(mine).rowcount == 1)


def drain(tx: Transaction, name: str) -> None:
    """Ask the node to take no more work, finish what it has begun, and end."""
    node = cluster.find(tx, name)
    if node is None or node.kind != WORKER:
        raise NotFound(f"There is no worker node {name!r}.")
    cluster.drain(tx, name)
    audit.record(tx, "node.drain", name)
