"""consumeNextJob: who gets which job, and that nobody else gets it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from orchestrator.jobs import consume as consuming
from orchestrator.jobs.states import Status
from orchestrator.robots import lifecycle as robots
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import LEASE, READY, WORKING, Scene, actor_of, race


def work_off(scene: Scene, robot: Any) -> list[str]:
    """All that `robot` gets, each job begun and ended."""
    done = []
    while (job := scene.consume(robot).job) is not None:
        scene.report(robot, job.guid, Status.IN_PROGRESS)
        scene.report(robot, job.guid, Status.SUCCESS)
        done.append(job.guid)
    return done


def test_the_higher_priority_comes_first_then_the_older_whatever_the_line(scene: Scene) -> None:
    robot = scene.robot("r1", group="office")
    orders: list[dict[str, Any]] = [
        {"priority": 10},
        {"priority": 90, "group": "office"},
        {"priority": 10, "robot": "r1"},
        {"priority": 0},
        {"priority": 90},
        {"priority": 100, "robot": "r1"},
    ]
    guids = [scene.create(**order)[0] for order in orders]
    scene.dispatch()
    assert work_off(scene, robot) == [guids[n] for n in (5, 1, 4, 0, 2, 3)]


@on("sqlite")
def test_lines_are_for_whom_they_name(scene: Scene) -> None:
    office = scene.robot("office-1", group="office")
    loner = scene.robot("loner")
    person = scene.robot("person", kind="attended", group="office")
    (for_person,) = scene.create(robot="person")
    (for_office,) = scene.create(group="office")
    (for_loner,) = scene.create(robot="loner")
    (for_any,) = scene.create()
    scene.dispatch()
    assert work_off(scene, person) == [for_person]
    assert work_off(scene, loner) == [for_loner, for_any]
    assert work_off(scene, office) == [for_office]


@on("sqlite")
def test_a_paused_robot_gets_nothing_new_but_what_it_was_handed(scene: Scene) -> None:
    robot = scene.robot("r1")
    scene.pending(2)
    scene.run(lambda tx: robots.pause(tx, "r1"))
    assert scene.consume(robot).job is None
    scene.run(lambda tx: robots.resume(tx, "r1"))
    handed = scene.consume(robot)
    scene.run(lambda tx: robots.pause(tx, "r1"))
    assert scene.consume(robot).job.guid == handed.job.guid


def test_until_it_has_begun_a_robot_is_handed_the_same_job_again(scene: Scene) -> None:
    robot = scene.robot("r1")
    scene.pending(3)
    first = scene.consume(robot)
    again = [scene.consume(robot, status) for status in (READY, None, WORKING)]
    assert {consumed.job.guid for consumed in again} == {first.job.guid}
    assert {consumed.fence for consumed in again} == {first.fence}
    assert len(scene.runs(first.job.guid)) == 1
    assert [line.event for line in scene.history(first.job.guid)] == ["create", "dispatch", "consume"]


@on("sqlite")
def test_a_robot_at_work_gets_no_second_job(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.pending(2)
    assert scene.consume(robot, WORKING).job is None
    assert scene.consume(robot, None).job is None
    assert scene.job(guid).status == Status.IN_PROGRESS


@pytest.mark.parametrize("on_lost", ["fail", "requeue"])
def test_ready_in_mid_job_loses_the_run_at_once_and_takes_the_next(scene: Scene, on_lost: str) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, on_lost=on_lost, max_attempts=2)
    (following,) = scene.pending()
    assert scene.consume(robot, READY).job.guid == following
    job = scene.job(guid)
    expected = (Status.FAILED, 1) if on_lost == "fail" else (Status.CREATED, 2)
    assert (job.status, job.attempt, job.reason) == (*expected, "robot_said_ready")
    assert [run.ended_at is None for run in scene.runs(guid)] == [False]


@on("sqlite")
def test_the_targets_whose_lines_are_empty_are_told(scene: Scene) -> None:
    robot = scene.robot("r1", group="office")
    mine, office = f"robot:{robot.id}", f"group:{robot.group_id}"
    assert scene.consume(robot).empty_targets == {mine, office, "any"}
    scene.pending(2, group="office")
    assert scene.consume(robot).empty_targets == {mine, "any"}


@on("mariadb", "postgres")
def test_sixteen_robots_race_for_two_hundred_jobs_and_each_is_consumed_once(scene: Scene) -> None:
    guids = scene.pending(200)
    fleet = [scene.robot(f"r{number}") for number in range(16)]
    left = threading.Semaphore(len(guids))

    def take(robot: Any) -> list[str]:
        """Not until nothing is found: a job that another is taking at the moment is passed over."""
        taken = []
        while left.acquire(blocking=False):
            job = None
            while job is None:
                job = scene.run(lambda tx: scene.consume_in(tx, robot)).job
            scene.set_job(job.guid, status=Status.SUCCESS.value)
            taken.append(job.guid)
        return taken

    outcomes = race(*[lambda robot=robot: take(robot) for robot in fleet])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    consumed = Counter(guid for outcome in outcomes for guid in outcome)
    assert consumed == Counter(guids)
    assert {len(scene.runs(guid)) for guid in guids[::10]} == {1}


@on("mariadb", "postgres")
def test_two_programs_with_one_guid_get_the_same_job(scene: Scene) -> None:
    robot = scene.robot("r1")
    scene.pending(4)
    first, second = race(*[lambda: scene.consume(robot)] * 2)
    assert first.job.guid == second.job.guid
    assert first.fence == second.fence


@on("mariadb", "postgres")
def test_a_job_that_another_is_taking_is_passed_over_and_not_waited_for(scene: Scene) -> None:
    first, second = scene.robot("r1"), scene.robot("r2")
    older, younger = scene.pending(2)

    def take_both(tx: Transaction) -> tuple[str, str]:
        mine = consuming.consume(tx, first, READY, LEASE)
        theirs = scene.transactions.run(
            lambda own: consuming.consume(own, second, READY, LEASE), tenant_id=1, actor=actor_of(second)
        )
        assert mine.job is not None
        assert theirs.job is not None
        return mine.job.guid, theirs.job.guid

    assert scene.run(take_both) == (older, younger)
