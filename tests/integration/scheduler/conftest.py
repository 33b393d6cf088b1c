"""Schedulers in this process: their memberships and masters, ticked by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster.model import Node
from orchestrator.config import Config
from orchestrator.tasks.model import PARTITIONS, Partition
from orchestrator.wiring import Parts, assemble
from scheduler.membership import Membership
from tests.integration.scene import Scene

EVERY = set(range(PARTITIONS))
MakeParts = Callable[..., Parts]
MakeMember = Callable[..., Membership]


@pytest.fixture
def make_parts(
    scene: Scene, redis_url: str, tmp_path: Path, migrated_database_url: str
) -> Iterator[MakeParts]:
    made: list[Parts] = []

    def make(number: int | str = 1, size: int = 2, **more: Any) -> Parts:
        given = {
            "DATABASE_URL": migrated_database_url,
            "REDIS_URL": redis_url,
            "BOTSWAIN_SECRET_KEY": "k" * 40,
            "SCHEDULER_CLUSTER_ID": str(number),
            "SCHEDULER_CLUSTER_SIZE": str(size),
            "SCHEDULER_WORKING_PATH": str(tmp_path / f"scheduler-{number}"),
            "BOTSWAIN_PARTITION_LEASE_SECONDS": "120",  # nobody renews but who ticks, and machines are busy
        }
        parts = assemble(Config.load(given | more), scene.transactions.engine)
        made.append(parts)
        return parts

    yield make
    for parts in made:
        parts.redis.close()


@pytest.fixture
def member(make_parts: MakeParts) -> MakeMember:
    """A scheduler that has joined, unless it is told not to."""

    def make(number: int | str = 1, size: int = 2, join: bool = True, **more: Any) -> Membership:
        made = Membership(make_parts(number, size, **more))
        if join:
            made.join()
        return made

    return make


def die(scene: Scene, member: Membership) -> None:
    """Its leases have run out."""
    past = scene.past()
    mine = Partition.owner == member.me.owner
    scene.run(lambda tx: tx.execute(update(Partition).where(mine).values(lease_until=past)))
    scene.run(lambda tx: tx.execute(update(Node).where(Node.name == member.me.name).values(lease_until=past)))
