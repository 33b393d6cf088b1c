"""A scheduler's place in the cluster: its share, taken over when it dies and given back when it returns."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster.lifecycle import NodeAlive
from orchestrator.cluster.model import Node
from orchestrator.errors import ConfigurationError
from orchestrator.tasks.hints import OWNERS
from orchestrator.tasks.model import PARTITIONS, Partition
from scheduler import membership as place
from scheduler.membership import Membership
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember

pytestmark = on("sqlite")
EVERY = set(range(PARTITIONS))


def home(number: int, size: int = 2) -> set[int]:
    return {p for p in EVERY if p % size + 1 == number}


def die(scene: Scene, member: Membership) -> None:
    """Its leases have run out."""
    past = scene.past()
    mine = Partition.owner == member.me.owner
    scene.run(lambda tx: tx.execute(update(Partition).where(mine).values(lease_until=past)))
    scene.run(lambda tx: tx.execute(update(Node).where(Node.name == member.me.name).values(lease_until=past)))


def test_two_share_the_partitions_by_their_numbers(scene: Scene, member: MakeMember) -> None:
    first = member(1)
    assert set(first.owned()) == EVERY, "alone it serves all"
    second = member(2)
    first.tick()  # gives back what is the other's
    second.tick()
    assert (set(first.owned()), set(second.owned())) == (home(1), home(2))


def test_the_share_of_one_that_died_is_taken_over_and_given_back(scene: Scene, member: MakeMember) -> None:
    first, second = member(1), member(2)
    first.tick()
    second.tick()
    die(scene, second)
    first.tick()
    assert set(first.owned()) == EVERY
    assert {first.owned()[p].epoch for p in home(2)} == {3}  # alone, then the second, then adopted
    returned = member(2)
    first.tick()
    returned.tick()
    assert (set(first.owned()), set(returned.owned())) == (home(1), home(2))
    with pytest.raises(NodeAlive):
        second._renew(time.monotonic())


def test_one_that_leaves_leaves_nothing_behind(scene: Scene, member: MakeMember) -> None:
    first, second = member(1), member(2)
    first.tick()
    second.tick()
    second.leave()
    assert second.owned() == {}
    first.tick()
    assert set(first.owned()) == EVERY


def test_a_lease_that_was_not_renewed_is_not_trusted_to_its_end(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = member(1, size=1)
    real = time.monotonic
    for elapsed, trusted in ((9.0, True), (10.5, False)):
        monkeypatch.setattr(time, "monotonic", lambda elapsed=elapsed: real() + elapsed)
        assert bool(only.owned()) is trusted


def test_cursors_outlive_a_renewal_and_not_a_loss(scene: Scene, member: MakeMember) -> None:
    from orchestrator.tasks.model import Lane

    only = member(1, size=1)
    only.owned()[5].cursors[Lane.SCHEDULER] = 77
    only._renew(time.monotonic())
    assert only.owned()[5].cursors[Lane.SCHEDULER] == 77
    die(scene, only)
    scene.run(lambda tx: tx.execute(update(Partition).values(epoch=Partition.epoch + 1)))
    only._renew(time.monotonic())
    assert only.owned() == {}
    only.tick()
    assert only.owned()[5].cursors[Lane.SCHEDULER] == -1


def test_senders_are_told_who_owns_what(scene: Scene, member: MakeMember) -> None:
    only = member(1, size=1)
    told = only._parts.redis.hgetall(OWNERS)
    assert {int(partition) for partition in told} == EVERY
    assert set(told.values()) == {b"scheduler-1"}


def test_another_size_is_refused_and_both_are_named(scene: Scene, member: MakeMember) -> None:
    member(1, size=2)
    with pytest.raises(ConfigurationError, match="SCHEDULER_CLUSTER_SIZE is 3 here and 2 at scheduler-1"):
        member(2, size=3)


def test_a_folder_that_is_in_use_is_refused(scene: Scene, member: MakeMember, tmp_path: Path) -> None:
    folder = str(tmp_path / "shared")
    member(1, SCHEDULER_WORKING_PATH=folder)
    with pytest.raises(ConfigurationError, match="SCHEDULER_WORKING_PATH"):
        member(2, SCHEDULER_WORKING_PATH=folder)


def test_a_folder_that_cannot_be_made_is_said(scene: Scene, member: MakeMember, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        member(1, SCHEDULER_WORKING_PATH=str(tmp_path / "file" / "folder"))


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "WATCH_SECONDS", 1.2)


def elsewhere(member: MakeMember) -> Membership:
    """A first scheduler 1 that is another living process."""
    first = member(1, join=False)
    first.me = replace(first.me, pid=os.getppid())
    first.join()
    return first


@pytest.mark.usefixtures("watched")
def test_a_doubled_number_is_refused_while_its_holder_lives(scene: Scene, member: MakeMember) -> None:
    first = elsewhere(member)
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.2):
            first._renew(time.monotonic())

    holder = threading.Thread(target=live)
    holder.start()
    try:
        with pytest.raises(ConfigurationError, match="already running"):
            member(1)
    finally:
        stop.set()
        holder.join()
    assert set(first.owned()) == EVERY


@pytest.mark.usefixtures("watched")
def test_a_holder_that_renews_no_more_is_replaced(scene: Scene, member: MakeMember) -> None:
    elsewhere(member)
    assert set(member(1).owned()) == EVERY


def test_a_holder_whose_process_is_gone_is_replaced_at_once(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = member(1, join=False)
    first.me = replace(first.me, pid=2**22 + 1)  # above what Linux gives
    first.join()
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    second = member(1)
    assert set(second.owned()) == EVERY
    assert {o.owner for o in second.owned().values()} == {second.me.owner}


def test_one_that_drains_takes_nothing_more(scene: Scene, member: MakeMember) -> None:
    from orchestrator.cluster import lifecycle as cluster

    first, second = member(1), member(2)
    first.tick()
    second.tick()
    scene.run(lambda tx: cluster.drain(tx, "scheduler-2"))
    second._renew(time.monotonic())
    assert second.is_draining
    die_partition: Any = scene.past()
    scene.run(lambda tx: tx.execute(update(Partition).values(lease_until=die_partition)))
    second.tick()
    assert not set(second.owned()) - home(2)
    first.tick()
    assert set(first.owned()) >= home(2), "the share of one that drains is the others'"
