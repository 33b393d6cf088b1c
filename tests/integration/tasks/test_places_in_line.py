"""Places in line: given under concurrency without gaps, taken in order, kept through every return."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.errors import StaleFence
from orchestrator.tasks import partitions, recovery
from orchestrator.tasks.claim import Ownership, claim
from orchestrator.tasks.claimed import release
from orchestrator.tasks.enqueueing import NewTask, TasksQueued, enqueue
from orchestrator.tasks.heads import HeadsQuery
from orchestrator.tasks.model import RANK_SHIFT, Lane, Partition, Task, TaskKind, TaskStatus
from orchestrator.tasks.spread import partition_of
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import LEASE, Scene, race

KEY = "one line"
HERE = partition_of(KEY)


def new(rank: int = 100, **more: Any) -> NewTask:
    return NewTask(TaskKind.ACTIVITY, ordering_key=KEY, rank=rank, max_attempts=9, **more)


def queue_up(scene: Scene, *ranks: int) -> list[int]:
    """The seqs given."""
    return [seq for _, seq in scene.run(lambda tx: enqueue(tx, [new(rank) for rank in ranks]))]


def seqs(batch: Any) -> list[int]:
    return [task.seq for task in batch.tasks]


def own(scene: Scene, owner: str = "s1") -> Ownership:
    scene.run(lambda tx: partitions.release(tx, "s1", [HERE]))
    (owned,) = scene.own([HERE], owner)
    return owned


def test_seqs_are_gapless_and_in_order_of_commit_under_four_producers(scene: Scene) -> None:
    owned = own(scene)
    claimed: list[int] = []

    def produce() -> None:
        for _ in range(100):
            queue_up(scene, 100)

    def take() -> None:
        while len(claimed) < 400:
            claimed.extend(seqs(scene.claim(owned)))

    outcomes = race(produce, produce, produce, produce, take)
    assert outcomes == [None] * 5
    # The claimer saw every commit after all with smaller numbers, or it would have been overtaken.
    assert claimed == list(range(claimed[0], claimed[0] + 400))


def test_a_list_takes_its_numbers_in_order_and_says_where(scene: Scene) -> None:
    keys = ["a", "b", "c", "d"]
    wanted = [NewTask(TaskKind.ACTIVITY, ordering_key=keys[n % 4]) for n in range(12)]
    places = scene.run(lambda tx: enqueue(tx, wanted))
    rows = scene.run(
        lambda tx: {
            r.guid: (r.partition, r.seq) for r in tx.execute(select(Task.guid, Task.partition, Task.seq))
        }
    )
    assert places == [rows[task.guid] for task in wanted]
    for number in range(4):
        mine = places[number::4]
        assert {partition for partition, _ in mine} == {partition_of(keys[number])}
        assert [seq for _, seq in mine] == sorted(seq for _, seq in mine)


def test_a_rolled_back_list_leaves_no_gap(scene: Scene) -> None:
    (first,) = queue_up(scene, 100)
    scene.trial(lambda tx: enqueue(tx, [new() for _ in range(5)]))
    assert queue_up(scene, 100) == [first + 1]


def test_a_claim_takes_ten_and_says_what_stands_behind(scene: Scene) -> None:
    owned = own(scene)
    given = queue_up(scene, *[100] * 12)
    batch = scene.claim(owned)
    assert seqs(batch) == given[:10]
    rows = [scene.task(task.guid) for task in batch.tasks]
    assert {(row.status, row.fence, row.attempt, row.owner) for row in rows} == {
        (TaskStatus.CLAIMED, 1, 1, "s1")
    }
    assert [(task.fence, task.attempt) for task in batch.tasks] == [(1, 1)] * 10
    assert batch.next_created_at is not None
    assert timedelta(seconds=40) < rows[0].lease_until - scene.past(0) <= LEASE
    last = scene.claim(owned)
    assert (seqs(last), last.next_created_at) == (given[10:], None)
    assert seqs(scene.claim(owned)) == []


def test_the_higher_rank_goes_first_and_late_comers_are_not_overlooked(scene: Scene) -> None:
    owned = own(scene)
    a, b, c = queue_up(scene, 100, 50, 100)
    assert seqs(scene.claim(owned, 2)) == [b, a]
    d, e = queue_up(scene, 10, 50)  # before the cursor, which has passed rank 50
    assert seqs(scene.claim(owned, 2)) == [d, e]
    assert seqs(scene.claim(owned, 2)) == [c]


@pytest.mark.parametrize("way", ["release", "lapse", "adoption"])
def test_what_comes_back_goes_to_its_old_place(scene: Scene, way: str) -> None:
    owned = own(scene)
    given = queue_up(scene, *[100] * 6)
    held = scene.claim(owned, 3).tasks
    assert seqs(scene.claim(owned, 1)) == given[3:4]
    if way == "release":
        scene.run(lambda tx: release(tx, held, Lane.WORKER))
    elif way == "lapse":
        for task in held:
            scene.set_task(task.guid, lease_until=scene.past())
        assert scene.run(lambda tx: recovery.lapse(tx, [HERE])) == 3
    else:
        scene.run(lambda tx: tx.execute(update(Partition).values(lease_until=None)))
        owned = own(scene, "s2")
    back = given if way == "adoption" else given[:3] + given[4:]
    assert seqs(scene.claim(owned)) == back
    assert {scene.task(task.guid).attempt for task in held} == {1}, "a claim that began nothing is no attempt"


def test_postponed_tasks_come_to_their_place_when_they_are_due(scene: Scene) -> None:
    owned = own(scene)
    soon = scene.past(0) + timedelta(hours=1)
    waiting = [new(not_before=soon), new(rank=90, not_before=soon)]
    ((_, first), (_, second)) = scene.run(lambda tx: enqueue(tx, waiting))
    later = queue_up(scene, 100, 100)
    assert seqs(scene.claim(owned, 1)) == later[:1]
    assert scene.run(lambda tx: recovery.promote_due(tx, [HERE])) == 0
    for task in waiting:
        scene.set_task(task.guid, not_before=scene.past())
    assert scene.run(lambda tx: recovery.promote_due(tx, [HERE + 1])) == 0
    assert scene.run(lambda tx: recovery.promote_due(tx, [HERE])) == 2
    assert seqs(scene.claim(owned)) == [second, first, later[1]]


@on("mariadb", "postgres")
def test_two_claimers_of_one_partition_never_take_the_same(scene: Scene) -> None:
    """Not even with one name and epoch, as two threads of a scheduler might."""
    owned = own(scene)
    given = queue_up(scene, *[100] * 200)
    taken: list[list[int]] = [[], []]

    def take(number: int) -> None:
        mine = Ownership(HERE, "s1", owned.epoch)
        while batch := seqs(scene.claim(mine, 7)):
            taken[number] += batch

    assert race(lambda: take(0), lambda: take(1)) == [None, None]
    assert sorted(taken[0] + taken[1]) == given


@pytest.mark.parametrize("wrong", ["epoch", "owner", "lease"])
def test_who_no_longer_owns_the_partition_claims_nothing(scene: Scene, wrong: str) -> None:
    owned = own(scene)
    queue_up(scene, 100)
    mine = Ownership(HERE, "s2" if wrong == "owner" else "s1", owned.epoch - (wrong == "epoch"))
    if wrong == "lease":
        past = scene.past()
        scene.run(lambda tx: tx.execute(update(Partition).values(lease_until=past)))
    _, before = scene.trial(lambda _: None)
    outcome, after = scene.trial(lambda tx: claim(tx, mine, Lane.WORKER, 10, LEASE))
    assert isinstance(outcome, StaleFence)
    assert after == before


@on("sqlite")
def test_a_claim_that_was_rolled_back_or_whose_answer_was_lost_overlooks_nothing(scene: Scene) -> None:
    owned = own(scene)
    given = queue_up(scene, *[100] * 4)
    scene.trial(lambda tx: claim(tx, owned, Lane.WORKER, 2, LEASE))
    assert seqs(scene.claim(owned, 4)) == given
    # Tasks come back before the cursor; a claim commits, but this process never learns of it.
    rows = scene.run(lambda tx: tx.execute(select(Task.guid).order_by(Task.seq)).scalars().all())
    for guid in rows[:3]:
        scene.set_task(guid, lease_until=scene.past())
    scene.run(lambda tx: recovery.lapse(tx, [HERE]))

    def lost(tx: Transaction) -> list[int]:
        batch = claim(tx, owned, Lane.WORKER, 1, LEASE)
        tx.effects.clear()
        return seqs(batch)

    assert scene.run(lost) == given[:1]
    assert seqs(scene.claim(owned, 4)) == given[1:3]


@on("sqlite")
def test_a_task_cancelled_in_the_midst_of_a_claim_rolls_it_back_whole(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    owned = own(scene)
    queue_up(scene, 100, 100)
    from orchestrator.tasks import claim as claiming

    take = claiming._take

    def cancelled_meanwhile(tx: Transaction, owned: Any, head: Any, lease: Any) -> Any:
        tx.execute(update(Task).where(Task.id == head[0].id).values(status=TaskStatus.CANCELLED.value))
        return take(tx, owned, head, lease)

    monkeypatch.setattr(claiming, "_take", cancelled_meanwhile)
    with pytest.raises(claiming.Outrun):
        scene.claim(owned)
    monkeypatch.undo()
    assert len(scene.claim(owned).tasks) == 2


def test_heads_say_which_lines_hold_work_and_how_old_it_is(scene: Scene) -> None:
    assert scene.run(lambda tx: HeadsQuery(range(64)).read(tx)) == []
    (first, _) = queue_up(scene, 30, 100)
    (dispatch,) = scene.run(lambda tx: enqueue(tx, [NewTask(TaskKind.DISPATCH, ordering_key=KEY, rank=70)]))
    heads = scene.run(lambda tx: HeadsQuery([HERE, (HERE + 1) % 64]).read(tx))
    assert {(head.partition, head.lane, head.position) for head in heads} == {
        (HERE, Lane.WORKER, 30 * RANK_SHIFT + first),
        (HERE, Lane.SCHEDULER, 70 * RANK_SHIFT + dispatch[1]),
    }
    assert scene.run(lambda tx: HeadsQuery([]).read(tx)) == []


@on("sqlite")
def test_the_owners_are_hinted_of_every_task_that_comes_into_line(scene: Scene) -> None:
    facts: list[TasksQueued] = []
    scene.transactions.subscribe(TasksQueued, facts.extend)
    owned = own(scene)
    queue_up(scene, 100)
    batch = scene.claim(owned)
    scene.run(lambda tx: release(tx, batch.tasks, Lane.WORKER))
    assert facts == [TasksQueued(frozenset({HERE}))] * 2
