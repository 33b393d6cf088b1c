"""A scheduler's place in the cluster: its share, taken over when it dies and given back when it returns."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import NodeAlive
from orchestrator.tasks.hints import OWNERS
from orchestrator.tasks.model import Partition
from scheduler.membership import Membership
from tests.acceptance.cluster import eventually
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import EVERY, MakeMember, MakeParts, die

pytestmark = on("sqlite")


def home(number: int, size: int = 2) -> set[int]:
    return {p for p in EVERY if p % size + 1 == number}


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
    for elapsed, trusted in ((70.0, True), (81.0, False)):
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
    redis = only._parts.redis
    eventually(lambda: redis.hlen(OWNERS) == len(EVERY), "all partitions are told")
    told = redis.hgetall(OWNERS)
    assert {int(partition) for partition in told} == EVERY
    assert set(told.values()) == {b"scheduler-1"}


def test_one_that_drains_takes_nothing_more(scene: Scene, member: MakeMember) -> None:
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


# Handing over between batches ---------------------------------------------------------------------------


def test_a_partition_is_given_back_when_its_batch_is_done(
    scene: Scene, make_parts: MakeParts, member: MakeMember
) -> None:
    in_hand: set[int] = set()
    first = Membership(make_parts(1), lambda: in_hand)
    first.join()
    busy = min(home(2))
    in_hand.add(busy)
    second = member(2)
    first.tick()
    second.tick()
    assert set(first.owned()) == home(1), "no new batch of any that is to be given back"
    assert set(second.owned()) == home(2) - {busy}
    in_hand.clear()
    first.tick()
    second.tick()
    assert (set(first.owned()), set(second.owned())) == (home(1), home(2))
