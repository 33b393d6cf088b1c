"""How a scheduler gets its place: its number, by settings or on lease, and what it is refused for.

A refusal comes within ten seconds and says what to change. Who stands in the way is watched first: a process
that was killed holds its place until its lease ends, and must not keep its successor out.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from orchestrator import errors
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import SCHEDULER, NodeIdentity
from orchestrator.config import AUTO, Config
from orchestrator.tasks.model import PARTITIONS
from orchestrator.transaction import Transaction

WATCH_SECONDS = 7.0  # longer than a renewal: a place that is not renewed meanwhile belongs to a dead process
RENEWALS = 1.3  # of the time between two: a watch must be so long to say anything


@dataclass(frozen=True)
class Hindrance:
    """A node that cannot live beside the one that joins; `sentence` says what to change if it does live."""

    node: Any
    sentence: str


class Hindered(Exception):  # noqa: N818
    def __init__(self, hindrances: Sequence[Hindrance]) -> None:
        self.hindrances = hindrances
        super().__init__(hindrances[0].sentence)


@dataclass(frozen=True)
class Place:
    """`replaced` is the owner that had the place before and is dead."""

    me: NodeIdentity
    replaced: str | None


def identity(config: Config) -> NodeIdentity:
    """Who this scheduler is by its settings; one with `auto` gets its number and folder when it joins."""
    is_auto = config.scheduler_cluster_id == AUTO
    return NodeIdentity(
        name=name_of("auto" if is_auto else config.scheduler_cluster_id),
        kind=SCHEDULER,
        host=socket.gethostname(),
        pid=os.getpid(),
        working_path=_made(config.scheduler_working_path),
        cluster_id=config.scheduler_cluster_id,
        cluster_size=0 if is_auto else config.scheduler_cluster_size,
        is_designated=config.scheduler_master == "1",
    )


def name_of(cluster_id: int | str) -> str:
    return f"scheduler-{cluster_id}"


def take_place(tx: Transaction, me: NodeIdentity, lease: timedelta, dead: Collection[str] = ()) -> Place:
    """Register, one scheduler after the other. Raises `Hindered`.

    `dead` are incarnations that the caller has found to be dead, though their leases go on.
    """
    cluster.take_turn(tx)
    living = [node for node in cluster.living(tx, SCHEDULER) if node.incarnation not in dead]
    if me.cluster_id == AUTO:
        me = _numbered(me, living)
    if hindrances := [Hindrance(node, why) for node in living if (why := _hindrance(me, node))]:
        raise Hindered(hindrances)
    before = cluster.find(tx, me.name)
    return Place(me, cluster.register(tx, me, lease, replace=before.incarnation if before else None))


def _numbered(me: NodeIdentity, living: Sequence[Any]) -> NodeIdentity:
    """With the lowest number that no living scheduler has, and a folder of its own below the one given."""
    taken = {node.cluster_id for node in living}
    number = next(number for number in range(1, len(taken) + 2) if number not in taken)
    if number > PARTITIONS:
        raise errors.ConfigurationError(
            [f"{PARTITIONS} schedulers live, one for each partition: another would have nothing to do"]
        )
    folder = _made(Path(me.working_path) / name_of(number))
    return replace(me, name=name_of(number), cluster_id=number, working_path=folder)


def _hindrance(me: NodeIdentity, node: Any) -> str | None:
    """Why `me` cannot live beside the living `node`; None: it can."""
    where = f"{node.name} on {node.host}"
    if (node.cluster_size == 0) != (me.cluster_size == 0):
        mine, theirs = ("auto", "a number") if me.cluster_size == 0 else (str(me.cluster_id), "auto")
        return (
            f"SCHEDULER_CLUSTER_ID is {mine} here and {theirs} at {where}: give all schedulers auto, or none"
        )
    if node.name == me.name:
        return cluster.already_running(node)
    if node.cluster_size != me.cluster_size:
        sizes = f"{me.cluster_size} here and {node.cluster_size} at {where}"
        return f"SCHEDULER_CLUSTER_SIZE is {sizes}: give all schedulers the same size"
    if node.host == me.host and node.working_path == me.working_path:
        folder = f"SCHEDULER_WORKING_PATH {me.working_path} is in use by {node.name}"
        return f"{folder}: give each scheduler a folder of its own"
    if me.is_designated and node.is_designated:
        return f"SCHEDULER_MASTER is 1 here and at {where}: designate one scheduler, and give the others auto"
    return None


def found_dead(
    hindered: Hindered, me: NodeIdentity, lease: timedelta, look: Callable[[str], Any | None]
) -> set[str]:
    """The incarnations that stand in the way, if they are dead. One that renews is alive: then its sentence
    is raised as a `ConfigurationError`. `look` reads a node's row by its name."""
    waiting = [one for one in hindered.hindrances if one.node.name != me.name or _may_live(one.node)]
    if waiting and lease.total_seconds() / 3 * RENEWALS > WATCH_SECONDS:
        raise errors.ConfigurationError([str(hindered)])
    deadline = time.monotonic() + WATCH_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(0.5)
        for hindrance in list(waiting):
            now = look(hindrance.node.name)
            if now is None or now.incarnation != hindrance.node.incarnation:
                waiting.remove(hindrance)
            elif now.last_seen != hindrance.node.last_seen:
                raise errors.ConfigurationError([hindrance.sentence])
    return {str(hindrance.node.incarnation) for hindrance in hindered.hindrances}


def _may_live(node: Any) -> bool:
    """Whether the process that had our place is there; one on another machine may be."""
    return bool(node.host != socket.gethostname() or _process_lives(node.pid))


def _process_lives(pid: int) -> bool:
    if pid == os.getpid():
        return False  # the same number in the same place: a container that was started again
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _made(given: Path) -> str:
    """The working folder, which is made where it is missing."""
    path = given.expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"SCHEDULER_WORKING_PATH {path} cannot be made: {error.strerror}"
        raise errors.ConfigurationError([sentence]) from None
    return str(path.resolve())  # one folder has many spellings, and two schedulers must not share it
