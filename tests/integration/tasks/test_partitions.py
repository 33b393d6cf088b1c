"""Partitions: one owner at a time, an epoch that grows with each, and what the last one held comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks import partitions, recovery
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.tasks.claimed import lock_claimed
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import PARTITIONS, Lane, Partition, TaskKind, TaskStatus
from orchestrator.tasks.spread import partition_of
from tests.integration.conftest import on
from tests.integration.scene import LEASE, Scene, race

EVERY = list(range(PARTITIONS))


def row(scene: Scene, partition: int) -> Any:
    query = select(*Partition.__table__.columns).where(Partition.id == partition)
    return scene.run(lambda tx: tx.execute(query).one())


def lapse(scene: Scene, *ids: int) -> None:
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Partition).where(Partition.id.in_(ids)).values(lease_until=past)))


def held(scene: Scene, owner: str) -> list[int]:
    return [owned.partition for owned in scene.run(lambda tx: partitions.held(tx, owner))]


def test_at_first_nobody_serves_any(scene: Scene) -> None:
    assert scene.run(partitions.unowned) == EVERY
    assert scene.own([]) == []


def test_what_is_held_is_not_taken_by_another(scene: Scene) -> None:
    assert [o.partition for o in scene.own([3, 1, 2], "a")] == [1, 2, 3]
    assert [o.partition for o in scene.own([2, 3, 4], "b")] == [4]
    assert (held(scene, "a"), held(scene, "b")) == ([1, 2, 3], [4])
    assert {row(scene, p).epoch for p in (1, 2, 3, 4)} == {1}
    assert scene.run(partitions.unowned) == sorted(set(EVERY) - {1, 2, 3, 4})


def test_a_lapsed_lease_passes_to_another_with_a_higher_epoch(scene: Scene) -> None:
    scene.own([1, 2], "a")
    lapse(scene, 1)
    assert held(scene, "a") == [2]
    assert scene.run(partitions.unowned)[:2] == [0, 1]
    assert [(o.partition, o.epoch) for o in scene.own([1, 2], "b")] == [(1, 2)]
    assert [o.partition for o in scene.run(lambda tx: partitions.renew(tx, "a", LEASE))] == [2]


@on("sqlite")
def test_a_lapsed_lease_is_not_renewed_but_acquired_anew(scene: Scene) -> None:
    scene.own([1], "a")
    lapse(scene, 1)
    assert scene.run(lambda tx: partitions.renew(tx, "a", LEASE)) == []
    assert [(o.partition, o.epoch) for o in scene.own([1], "a")] == [(1, 2)]


@on("sqlite")
def test_renewal_moves_the_end_of_every_lease(scene: Scene) -> None:
    scene.own([1, 2], "a", timedelta(seconds=5))
    before = row(scene, 1).lease_until
    renewed = scene.run(lambda tx: partitions.renew(tx, "a", timedelta(seconds=60)))
    assert [(o.partition, o.epoch) for o in renewed] == [(1, 1), (2, 1)]
    assert row(scene, 1).lease_until - before > timedelta(seconds=50)


@on("sqlite")
def test_what_is_given_up_is_free_at_once_and_only_the_owner_can(scene: Scene) -> None:
    scene.own([1, 2], "a")
    scene.run(lambda tx: partitions.release(tx, "b", [1, 2]))
    assert held(scene, "a") == [1, 2]
    scene.run(lambda tx: partitions.release(tx, "a", [1]))
    assert held(scene, "a") == [2]
    assert [(o.partition, o.epoch) for o in scene.own([1, 2], "b")] == [(1, 2)]


def test_an_adopter_gets_what_was_claimed_and_the_old_owner_changes_nothing_more(scene: Scene) -> None:
    key = "one line"
    here = partition_of(key)
    (mine,) = scene.own([here], "a")
    new = [NewTask(kind, ordering_key=key) for kind in (TaskKind.ACTIVITY, TaskKind.DISPATCH) * 3]
    scene.run(lambda tx: enqueue(tx, new))
    claimed = {lane: list(scene.claim(mine, 2, lane).tasks) for lane in Lane}
    begun = claimed[Lane.WORKER][0]
    scene.run(lambda tx: tasks.start(tx, begun.guid, begun.fence, "n1", LEASE))
    lapse(scene, here)
    (theirs,) = scene.own([here], "b")

    def old_hand(tx: Any) -> list[ClaimedTask]:
        return lock_claimed(tx, [*claimed[Lane.WORKER], *claimed[Lane.SCHEDULER]])

    assert scene.run(old_hand) == []
    again = {lane: [task.guid for task in scene.claim(theirs, 10, lane).tasks] for lane in Lane}
    assert again[Lane.SCHEDULER] == [task.guid for task in new[1::2]]
    assert again[Lane.WORKER] == [task.guid for task in new[0::2] if task.guid != begun.guid]
    assert scene.task(begun.guid).status == TaskStatus.RUNNING  # a node has it, and goes on with it
    assert scene.run(old_hand) == []
    assert scene.run(lambda tx: recovery.take_back_from(tx, [here], "b")) == 0


@on("mariadb", "postgres")
def test_adoption_does_not_wait_for_a_rival(scene: Scene) -> None:
    """Leases count from before the wait: those got behind a slow rival had ended when they were given."""
    with scene.transactions.engine.connect() as rival:
        rival.execute(update(Partition).where(Partition.id == 1).values(owner="rival"))
        assert [owned.partition for owned in scene.own([1, 2], "a")] == [2]
        rival.rollback()


@on("mariadb", "postgres")
def test_of_many_that_want_the_same_each_partition_goes_to_one(scene: Scene) -> None:
    for _ in range(3):
        owners = [f"s{number}" for number in range(6)]
        outcomes = race(*[lambda owner=owner: scene.own(EVERY, owner) for owner in owners])
        gained = [owned for outcome in outcomes for owned in outcome]
        assert sorted(owned.partition for owned in gained) == EVERY
        for owned in gained:
            assert (row(scene, owned.partition).owner, row(scene, owned.partition).epoch) == (
                owned.owner,
                owned.epoch,
            )
        lapse(scene, *EVERY)
