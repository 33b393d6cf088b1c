"""Runs that are lost, take too long, or were never begun."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from orchestrator.jobs import heartbeat, recovery
from orchestrator.jobs.heartbeat import Beat
from orchestrator.jobs.states import Status
from orchestrator.tasks.model import Task, TaskStatus
from tests.integration.conftest import on
from tests.integration.scene import LEASE, READY, WORKING, Scene, actor_of

GRACE = timedelta(seconds=30)


def beat(scene: Scene, robot: Any, status: int, guid: str = "") -> heartbeat.Answer:
    told = Beat(status, guid)
    return scene.run(lambda tx: heartbeat.beat(tx, robot, told, LEASE), actor=actor_of(robot))


def lapsed(scene: Scene) -> list[str]:
    return [job.guid for job in scene.run(recovery.lapsed)]


def lose(scene: Scene, guid: str) -> bool:
    job = scene.job(guid)
    return scene.run(lambda tx: recovery.lose(tx, job, "robot_lost", "The robot fell silent."))


def test_a_run_is_leased_from_its_first_working_heartbeat_on(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    assert scene.job(guid).lease_until is None
    assert lapsed(scene) == []
    beat(scene, robot, WORKING, guid)
    until = scene.job(guid).lease_until
    assert timedelta(seconds=40) < until - scene.past(0) <= LEASE
    assert lapsed(scene) == []
    scene.set_job(guid, lease_until=scene.past())
    assert lapsed(scene) == [guid]


def test_a_lost_run_fails_and_says_why(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    fence = scene.job(guid).fence
    assert lose(scene, guid)
    job = scene.job(guid)
    assert (job.status, job.reason, job.error) == (Status.FAILED, "robot_lost", "The robot fell silent.")
    assert job.fence == fence + 1
    assert scene.runs(guid)[0].ended_at == job.finished_at
    assert not lose(scene, guid)


def test_requeue_gives_as_many_attempts_as_were_allowed_and_no_more(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, on_lost="requeue", max_attempts=3)
    for attempt in (2, 3):
        assert lose(scene, guid)
        job = scene.job(guid)
        assert (job.status, job.attempt, job.robot_id, job.started_at) == (0, attempt, 0, None)
        scene.dispatch()
        assert scene.consume(robot).job.guid == guid
        scene.report(robot, guid, Status.IN_PROGRESS)
    assert lose(scene, guid)
    assert (scene.job(guid).status, scene.job(guid).attempt) == (Status.FAILED, 3)
    assert [run.attempt for run in scene.runs(guid)] == [1, 2, 3]
    fences = [line.fence for line in scene.history(guid)]
    assert fences == sorted(fences)


@on("sqlite")
@pytest.mark.parametrize("verb", ["stop", "abort"])
def test_a_run_that_was_to_end_is_not_begun_anew(scene: Scene, verb: str) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, on_lost="requeue", max_attempts=3)
    getattr(scene, verb)(guid)
    assert lose(scene, guid)
    assert scene.job(guid).status == Status.FAILED


def test_a_job_that_was_never_begun_goes_back_to_its_line(scene: Scene) -> None:
    silent, other = scene.robot("silent"), scene.robot("other")
    older, _younger = scene.pending(2)
    assert scene.consume(silent).job.guid == older
    assert lapsed(scene) == []
    scene.set_job(older, lease_until=scene.past())
    assert lapsed(scene) == [older]
    row = scene.job(older)
    assert scene.run(lambda tx: recovery.release(tx, row))
    job = scene.job(older)
    assert (job.status, job.robot_id, job.attempt, job.lease_until) == (Status.PENDING, 0, 1, None)
    assert scene.consume(other).job.guid == older
    assert [run.ended_at is None for run in scene.runs(older)] == [False, True]


@on("sqlite")
def test_a_release_that_comes_after_the_robot_began_changes_nothing(scene: Scene) -> None:
    robot = scene.robot("r1")
    (guid,) = scene.pending()
    scene.consume(robot)
    row = scene.job(guid)
    scene.report(robot, guid, Status.IN_PROGRESS)
    before = scene.job(guid)
    assert not scene.run(lambda tx: recovery.release(tx, row))
    assert scene.job(guid) == before


def test_beyond_its_limit_a_run_is_told_to_abort_and_then_fails(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, max_run_seconds=60)
    unlimited = scene.in_progress(scene.robot("r2"))
    assert scene.run(recovery.overdue) == []
    scene.set_job(guid, run_until=scene.past())
    (row,) = scene.run(recovery.overdue)
    assert scene.run(lambda tx: recovery.time_out(tx, row, GRACE))
    job = scene.job(guid)
    assert (job.status, job.reason) == (Status.ABORTING, "time_limit")
    assert timedelta(seconds=25) < job.run_until - scene.past(0) <= GRACE
    assert beat(scene, robot, WORKING, guid).code == 10
    assert scene.run(recovery.overdue) == []
    scene.set_job(guid, run_until=scene.past())
    (row,) = scene.run(recovery.overdue)
    assert scene.run(lambda tx: recovery.time_out(tx, row, GRACE))
    assert (scene.job(guid).status, scene.job(guid).reason) == (Status.FAILED, "time_limit")
    assert scene.job(unlimited).status == Status.IN_PROGRESS


@on("sqlite")
def test_an_abort_that_nobody_answers_ends_failed(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.abort(guid)
    scene.set_job(guid, run_until=scene.past())
    (row,) = scene.run(recovery.overdue)
    scene.run(lambda tx: recovery.time_out(tx, row, GRACE))
    assert (scene.job(guid).status, scene.job(guid).reason) == (Status.FAILED, "abort_unanswered")


@on("sqlite")
def test_heartbeats_tell_orders_jobs_and_zombies(scene: Scene) -> None:
    robot = scene.robot("r1")
    assert beat(scene, robot, READY) == heartbeat.Answer(0, "", False)
    (guid,) = scene.pending(robot="r1")
    assert beat(scene, robot, READY).has_new_job
    scene.consume(robot)
    assert beat(scene, robot, READY).has_new_job  # handed to it, and not begun: it asks again
    assert beat(scene, robot, WORKING, guid).code == 0
    scene.report(robot, guid, Status.IN_PROGRESS)
    assert beat(scene, robot, WORKING, guid).code == 0
    scene.stop(guid)
    assert beat(scene, robot, WORKING, guid).code == 20
    scene.abort(guid)
    assert beat(scene, robot, WORKING, guid).code == 10
    assert lose(scene, guid)
    assert beat(scene, robot, WORKING, guid).code == 10  # the run is over: its script must not go on


@on("sqlite")
@pytest.mark.parametrize(("on_lost", "status"), [("fail", Status.FAILED), ("requeue", Status.CREATED)])
def test_a_ready_heartbeat_in_mid_job_loses_the_run_at_once(
    scene: Scene, on_lost: str, status: Status
) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, on_lost=on_lost, max_attempts=2)
    answer = beat(scene, robot, READY)
    assert (answer.code, scene.job(guid).status) == (0, status)
    assert scene.job(guid).reason == "robot_said_ready"


def test_a_requeued_job_stands_before_younger_ones_of_its_rank(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, on_lost="requeue", max_attempts=2)
    younger = scene.pending()[0]
    lose(scene, guid)
    scene.dispatch()
    tasks = scene.run(lambda tx: tx.execute(select(Task.status)).scalars().all())
    assert set(tasks) == {TaskStatus.SUCCEEDED}
    assert scene.consume(scene.robot("r2")).job.guid == younger  # the first is for r1 by name
    assert scene.consume(robot).job.guid == guid
