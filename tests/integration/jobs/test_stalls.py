"""Runs that are alive and make no progress: told apart from lost ones, shown, and ended only where asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.insights import explain, jobs
from orchestrator.insights.gauges import gauges
from orchestrator.jobs import heartbeat, stalls
from orchestrator.jobs.heartbeat import Beat
from orchestrator.jobs.states import Status
from orchestrator.processes import lifecycle as processes
from orchestrator.runs.model import Run
from tests.integration.conftest import on
from tests.integration.scene import LEASE, WORKING, Scene, actor_of

GRACE = timedelta(seconds=30)


@pytest.fixture
def watched(scene: Scene) -> Scene:
    """With a limit of a minute on the process."""
    scene.run(lambda tx: processes.change(tx, scene.process, stalled_after_seconds=60))
    return scene


def look(scene: Scene) -> list[bool]:
    """What the master's duty does each second."""

    def work(tx: Any) -> list[bool]:
        return [stalls.judge(tx, job, GRACE) for job in stalls.suspects(tx)]

    return scene.run(work)


def events(scene: Scene, guid: str) -> list[str]:
    return [line.event for line in scene.history(guid)]


def touch(scene: Scene, guid: str, moment: Any) -> None:
    scene.run(lambda tx: tx.execute(update(Run).where(Run.job_guid == guid).values(touched_at=moment)))


def reasons(scene: Scene, guid: str) -> list[str]:
    def work(tx: Any) -> list[str]:
        row = jobs.found(tx, guid)
        return [reason.code for reason in explain._reasons(tx, row, None)]  # type: ignore[arg-type]

    return scene.run(work)


def test_a_run_without_progress_is_shown_and_goes_on(watched: Scene) -> None:
    robot = watched.robot("r1")
    guid = watched.in_progress(robot)
    due = watched.job(guid).stalls_at
    assert timedelta(seconds=50) < due - watched.past(0) <= timedelta(seconds=60)
    assert look(watched) == []
    watched.set_job(guid, stalls_at=watched.past())
    assert look(watched) == [True]
    job = watched.job(guid)
    assert (job.status, job.error, job.robot_id) == (Status.IN_PROGRESS, None, robot.id)
    assert job.stalled_at is not None
    assert events(watched, guid)[-1] == "stall"
    assert "no progress since" in watched.history(guid)[-1].reason
    assert reasons(watched, guid)[0] == "stalled"
    assert watched.run(gauges).stalled == 1
    assert look(watched) == []  # once is enough
    watched.report(robot, guid, Status.SUCCESS)
    assert watched.run(gauges).stalled == 0


def test_progress_begins_the_time_anew_and_the_same_number_does_not(watched: Scene) -> None:
    robot = watched.robot("r1")
    guid = watched.in_progress(robot)
    watched.report(robot, guid, Status.IN_PROGRESS, progress=10)
    watched.set_job(guid, stalls_at=watched.past())
    watched.report(robot, guid, Status.IN_PROGRESS, progress=10)
    assert look(watched) == [True]
    watched.report(robot, guid, Status.IN_PROGRESS, progress=11)
    job = watched.job(guid)
    assert job.stalled_at is None
    assert job.stalls_at - watched.past(0) > timedelta(seconds=50)
    assert events(watched, guid)[-2:] == ["stall", "resume"]
    assert look(watched) == []


def test_what_a_run_does_with_resources_is_progress(watched: Scene) -> None:
    robot = watched.robot("r1")
    guid = watched.in_progress(robot)
    watched.set_job(guid, stalls_at=watched.past())
    touch(watched, guid, watched.past(5))
    assert look(watched) == [False]
    assert watched.job(guid).stalls_at - watched.past(0) > timedelta(seconds=50)
    touch(watched, guid, watched.past(100))
    watched.set_job(guid, stalls_at=watched.past())
    assert look(watched) == [True]
    touch(watched, guid, watched.past(-1))
    assert look(watched) == [False]
    assert (watched.job(guid).stalled_at, events(watched, guid)[-1]) == (None, "resume")


@on("sqlite")
def test_heartbeats_are_no_progress_and_silence_is_not_a_stall(watched: Scene) -> None:
    robot = watched.robot("r1")
    guid = watched.in_progress(robot)
    watched.set_job(guid, stalls_at=watched.past())
    beat = Beat(WORKING, guid)
    watched.run(lambda tx: heartbeat.beat(tx, robot, beat, LEASE), actor=actor_of(robot))
    assert look(watched) == [True]
    assert watched.job(guid).lease_until > watched.past(0)


@on("sqlite", "mariadb")
def test_where_its_process_says_so_a_stalled_run_is_told_to_abort(scene: Scene) -> None:
    scene.run(lambda tx: processes.change(tx, scene.process, stalled_after_seconds=60, on_stalled="abort"))
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.set_job(guid, stalls_at=scene.past())
    assert look(scene) == [True]
    job = scene.job(guid)
    assert (job.status, job.reason) == (Status.ABORTING, "stalled")
    assert timedelta(seconds=25) < job.run_until - scene.past(0) <= GRACE
    beat = Beat(WORKING, guid)
    answer = scene.run(lambda tx: heartbeat.beat(tx, robot, beat, LEASE), actor=actor_of(robot))
    assert answer.code == 10
    assert events(scene, guid)[-2:] == ["stall", "time_out"]
    assert reasons(scene, guid)[0] == "abort_not_yet_obeyed"
    assert look(scene) == []


@on("sqlite")
def test_a_process_without_a_limit_is_not_watched_and_another_attempt_begins_anew(watched: Scene) -> None:
    robot = watched.robot("r1")
    guid = watched.in_progress(robot, on_lost="requeue", max_attempts=2)
    watched.set_job(guid, stalls_at=watched.past())
    look(watched)
    beat = Beat(2)
    watched.run(lambda tx: heartbeat.beat(tx, robot, beat, LEASE), actor=actor_of(robot))
    job = watched.job(guid)
    assert (job.status, job.stalls_at, job.stalled_at) == (Status.CREATED, None, None)
    watched.run(lambda tx: processes.change(tx, watched.process, stalled_after_seconds=None))
    other = watched.in_progress(watched.robot("r2"))
    assert watched.job(other).stalls_at is None
