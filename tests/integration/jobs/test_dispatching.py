"""Handing jobs out: a batch of claimed tasks becomes Pending jobs, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from orchestrator.jobs import dispatch
from orchestrator.jobs.moves import JobsOffered
from orchestrator.jobs.states import Status
from orchestrator.tasks.model import Task, TaskStatus
from tests.integration.conftest import on
from tests.integration.scene import SCHEDULER, Scene


def statuses(scene: Scene) -> set[int]:
    return set(scene.run(lambda tx: tx.execute(select(Task.status)).scalars().all()))


def test_a_batch_with_cancelled_jobs_hands_out_the_others(scene: Scene) -> None:
    robot = scene.robot("r1", group="office")
    guids = scene.create(6)
    guids += scene.create(2, robot=robot.name)
    guids += scene.create(1, group="office")
    claimed = scene.claim_all()
    scene.stop(guids[1])
    scene.abort(guids[4])
    offered: list[JobsOffered] = []
    scene.transactions.subscribe(JobsOffered, offered.extend)
    moved = scene.run(lambda tx: dispatch.dispatch(tx, claimed), actor=SCHEDULER)
    assert len(moved) == 7
    assert [scene.job(guid).status for guid in guids] == [1, 7, 1, 1, 7, 1, 1, 1, 1]
    assert statuses(scene) == {TaskStatus.SUCCEEDED}
    (fact,) = offered
    lines = ["any:1"] * 4 + [f"robot:{robot.id}"] * 2 + [f"group:{robot.group_id}"]
    assert sorted(fact.targets) == sorted(lines)


def test_history_names_partition_and_seq_of_the_task(scene: Scene) -> None:
    (guid,) = scene.pending()
    created, dispatched = scene.history(guid)
    assert dispatched.event == "dispatch"
    assert (dispatched.partition, dispatched.seq) == (created.partition, created.seq)
    assert dispatched.actor == "scheduler:scheduler-1"


@on("sqlite")
def test_a_batch_said_again_hands_out_nothing_twice(scene: Scene) -> None:
    (guid,) = scene.create()
    claimed = scene.claim_all()
    scene.run(lambda tx: dispatch.dispatch(tx, claimed))
    once = scene.history(guid)
    assert scene.run(lambda tx: dispatch.dispatch(tx, claimed)) == []
    assert scene.history(guid) == once


@on("sqlite")
def test_a_claim_that_no_longer_stands_hands_out_nothing(scene: Scene) -> None:
    guids = scene.create(3)
    stale = [replace(task, fence=task.fence - 1) for task in scene.claim_all()]
    assert scene.run(lambda tx: dispatch.dispatch(tx, stale)) == []
    assert {scene.job(guid).status for guid in guids} == {Status.CREATED}
    assert statuses(scene) == {TaskStatus.CLAIMED}


@on("sqlite")
def test_an_empty_batch_is_nothing(scene: Scene) -> None:
    assert scene.run(lambda tx: dispatch.dispatch(tx, [])) == []
