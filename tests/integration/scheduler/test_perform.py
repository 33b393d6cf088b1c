"""Handing jobs out by the batch, and one by one where a batch has failed or its scheduler has died."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.errors import StaleFence
from orchestrator.insights import explain
from orchestrator.jobs import dispatch
from orchestrator.jobs.moves import JobsOffered
from orchestrator.jobs.states import Status
from orchestrator.tasks import enqueueing, partitions, recovery
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks.claim import Outrun, Ownership
from orchestrator.tasks.model import Partition, Task, TaskStatus
from orchestrator.tasks.spread import partition_of
from scheduler.membership import Membership
from scheduler.perform import ATTEMPTS, SUSPICIOUS_DEATHS, hand_out
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember

KEY = "one partition"
HERE = partition_of(KEY)


class Killed(BaseException):
    """As SIGKILL: nobody catches it."""


@pytest.fixture
def membership(member: MakeMember) -> Membership:
    return member(1, 1)


def owned(membership: Membership) -> Ownership:
    return membership.owned()[HERE]


def create(scene: Scene, monkeypatch: pytest.MonkeyPatch, count: int) -> list[str]:
    """Jobs whose tasks are all in one partition."""
    monkeypatch.setattr(enqueueing._spread, "next", lambda _: HERE)
    return scene.create(count)


def states(scene: Scene, guids: list[str]) -> list[int]:
    return [scene.job(guid).status for guid in guids]


def task_of(scene: Scene, guid: str) -> Any:
    query = select(*Task.__table__.columns).where(Task.subject_id == scene.job(guid).id)
    return scene.run(lambda tx: tx.execute(query).one())


def test_a_batch_is_handed_out_in_order_and_says_who_is_next(
    scene: Scene, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = create(scene, monkeypatch, 5)
    scene.stop(guids[1])
    offered: list[JobsOffered] = []
    membership._parts.transactions.subscribe(JobsOffered, offered.extend)
    first = hand_out(membership, owned(membership), 3)
    assert first.count == 3 and first.next_created_at is not None
    assert states(scene, guids) == [Status.PENDING, Status.STOPPED, Status.PENDING, 0, 0]
    assert [len(fact.targets) for fact in offered] == [2]
    rest = hand_out(membership, owned(membership), 3)
    assert (rest.count, rest.next_created_at) == (2, None)
    assert hand_out(membership, owned(membership), 3).count == 0
    created, dispatched = scene.history(guids[4])
    assert (dispatched.partition, dispatched.seq) == (created.partition, created.seq)
    done = task_of(scene, guids[4])
    assert (done.status, done.attempt, done.fence) == (TaskStatus.SUCCEEDED, 1, 1)


def test_a_scheduler_that_lost_the_partition_hands_out_nothing(
    scene: Scene, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = create(scene, monkeypatch, 2)
    mine = owned(membership)
    scene.run(lambda tx: tx.execute(update(Partition).values(epoch=Partition.epoch + 1)))
    with pytest.raises(StaleFence):
        hand_out(membership, mine, 10)
    assert states(scene, guids) == [Status.CREATED] * 2


@on("mariadb", "postgres")
def test_a_job_cancelled_at_that_moment_is_looked_at_again(
    scene: Scene, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = create(scene, monkeypatch, 2)
    offer = dispatch._offer

    def cancelled_meanwhile(tx: Any, jobs: Any, places: Any) -> None:
        scene.stop(guids[0])
        offer(tx, jobs, places)

    monkeypatch.setattr(dispatch, "_offer", cancelled_meanwhile)
    with pytest.raises(Outrun):
        hand_out(membership, owned(membership), 10)
    monkeypatch.setattr(dispatch, "_offer", offer)
    hand_out(membership, owned(membership), 10)
    assert states(scene, guids) == [Status.STOPPED, Status.PENDING]


def poison(scene: Scene, monkeypatch: pytest.MonkeyPatch, guid: str, error: BaseException) -> None:
    """Whoever hands this job out is met by `error`."""
    offer, job_id = dispatch._offer, scene.job(guid).id

    def poisoned(tx: Any, jobs: Any, places: Any) -> None:
        if job_id in [job.id for job in jobs]:
            raise error
        offer(tx, jobs, places)

    monkeypatch.setattr(dispatch, "_offer", poisoned)


@on("mariadb")
def test_one_that_cannot_be_handed_out_is_set_aside_and_holds_up_nobody(
    scene: Scene, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = create(scene, monkeypatch, 4)
    with monkeypatch.context() as patch:
        poison(scene, patch, guids[1], ValueError("no such shape"))
        mine = owned(membership)
        for _ in range(10):
            try:
                hand_out(membership, mine, 10)
            except ValueError:
                continue
    assert states(scene, guids) == [Status.PENDING, Status.CREATED, Status.PENDING, Status.PENDING]
    aside = task_of(scene, guids[1])
    assert (aside.status, aside.attempt) == (TaskStatus.POSTPONED, ATTEMPTS)
    assert "no such shape" in aside.error
    (why,) = scene.run(lambda tx: explain.job(tx, guids[1], membership._parts.presence)).reasons
    assert why.code == "set_aside" and aside.guid in why.text
    come_back(scene)
    for _ in range(3):  # the one that is not made, and the next, which is
        hand_out(membership, mine, 10)
        come_back(scene)
    assert states(scene, guids) == [Status.PENDING] * 4


@on("mariadb", "sqlite")
def test_one_of_which_schedulers_die_is_set_aside_after_three(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = create(scene, monkeypatch, 3)
    deaths = 0
    with monkeypatch.context() as patch:
        poison(scene, patch, guids[1], Killed())
        for generation in range(ATTEMPTS + SUSPICIOUS_DEATHS + 3):
            ownership = adopted(scene, f"scheduler-{generation}")
            dying = Membership.__new__(Membership)
            dying.run = lambda work, **_: scene.transactions.run(work, tenant_id=0)  # type: ignore[method-assign]
            dying.me = type("Me", (), {"name": f"scheduler-{generation}"})()
            try:
                while hand_out(dying, ownership, 10).count:
                    pass
            except Killed:
                deaths += 1
            else:
                break
    assert deaths == 1 + SUSPICIOUS_DEATHS + ATTEMPTS  # the first had both in hand
    assert states(scene, guids) == [Status.PENDING, Status.CREATED, Status.PENDING]
    assert task_of(scene, guids[1]).status == TaskStatus.POSTPONED


def test_one_that_never_can_be_handed_out_is_set_aside_for_good_and_may_be_retried(
    scene: Scene, membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    (guid,) = create(scene, monkeypatch, 1)
    mine = owned(membership)
    with monkeypatch.context() as patch:
        poison(scene, patch, guid, ValueError("never"))
        for _ in range(20):
            try:
                hand_out(membership, mine, 10)
            except ValueError:
                continue
            come_back(scene)
    failed = task_of(scene, guid)
    assert (failed.status, failed.attempt) == (TaskStatus.FAILED, 7)
    scene.run(lambda tx: tasks.retry(tx, failed.guid))
    hand_out(membership, mine, 10)
    assert states(scene, [guid]) == [Status.PENDING]


def come_back(scene: Scene) -> None:
    """The pause of what was set aside is over."""
    over = update(Task).where(Task.status == TaskStatus.POSTPONED.value)
    scene.run(lambda tx: tx.execute(over.values(not_before=tx.now - timedelta(seconds=1))))
    scene.run(lambda tx: recovery.promote_due(tx, [HERE]))


def adopted(scene: Scene, owner: str) -> Ownership:
    """The partition, from an owner who fell silent."""
    lapsed = update(Partition).where(Partition.lease_until.is_not(None))

    def adopt(tx: Any) -> Ownership:
        tx.execute(lapsed.values(lease_until=tx.now - timedelta(seconds=1)))
        (one,) = partitions.acquire(tx, [HERE], owner, timedelta(minutes=5))
        return one

    return scene.run(adopt)
