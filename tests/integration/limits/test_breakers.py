"""Breakers: after so many failures in so long nothing starts, until a person or a trial says otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.errors import Conflict
from orchestrator.jobs import gate, limiting, recovery
from orchestrator.jobs.states import Status
from orchestrator.limits import breakers
from orchestrator.limits.model import Breaker
from orchestrator.processes import lifecycle as processes
from tests.integration.conftest import on
from tests.integration.scene import Scene

SETTINGS = {"failures": 3, "within_seconds": 600, "cooldown_seconds": 60}


@pytest.fixture
def robot(scene: Scene) -> Any:
    scene.run(lambda tx: limiting.limit_process(tx, "invoices", breaker=SETTINGS))
    return scene.robot("r1")


def breaker(scene: Scene) -> Any:
    return scene.run(lambda tx: breakers.find(tx, processes.existing(tx, "invoices").id))


def run(scene: Scene, robot: Any, status: Status) -> str | None:
    job = scene.consume(robot).job
    if job is None:
        return None
    scene.report(robot, job.guid, Status.IN_PROGRESS)
    scene.report(robot, job.guid, status)
    return str(job.guid)


def cool_down(scene: Scene) -> None:
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Breaker).values(trial_at=past)))
    scene.run(gate.sweep)


def test_it_opens_after_its_failures_lets_one_try_and_closes_when_that_succeeds(
    scene: Scene, robot: Any
) -> None:
    second = scene.robot("r2")
    guids = scene.pending(8)
    ends = [Status.FAILED, Status.SUCCESS, Status.FAILED, Status.STOPPED, Status.FAILED]
    assert [run(scene, robot, end) for end in ends] == guids[:5]
    found = breaker(scene)
    assert (found.state, found.reason) == ("open", "3 runs failed within 600 seconds.")
    assert found.trial_at - found.opened_at == timedelta(seconds=60)
    assert run(scene, robot, Status.SUCCESS) is None
    assert scene.run(gate.sweep)["jobs_let_in"] == 0

    cool_down(scene)
    trial = scene.consume(robot).job
    assert trial.guid == guids[5]
    assert breaker(scene).state == "half_open"
    assert scene.consume(second).job is None  # one tries, and no other
    scene.report(robot, trial.guid, Status.IN_PROGRESS)
    scene.report(robot, trial.guid, Status.FAILED)
    assert breaker(scene).state == "open"
    assert run(scene, robot, Status.SUCCESS) is None

    cool_down(scene)
    assert run(scene, robot, Status.SUCCESS) == guids[6]
    assert (breaker(scene).state, breaker(scene).recent) == ("closed", [])
    assert run(scene, second, Status.SUCCESS) == guids[7]


@on("mariadb")
def test_old_failures_do_not_count(scene: Scene, robot: Any) -> None:
    scene.pending(4)
    for _ in range(2):
        run(scene, robot, Status.FAILED)
    old = [(scene.past(601)).isoformat()] * 2
    scene.run(lambda tx: tx.execute(update(Breaker).values(recent=old)))
    run(scene, robot, Status.FAILED)
    assert breaker(scene).state == "closed"
    assert len(breaker(scene).recent) == 1


@on("mariadb")
def test_lost_runs_count_too_and_a_person_closes_it(scene: Scene, robot: Any) -> None:
    guids = scene.pending(4)
    for _ in range(3):
        job = scene.consume(robot).job
        scene.report(robot, job.guid, Status.IN_PROGRESS)
        lost = scene.job(job.guid)
        scene.run(lambda tx, lost=lost: recovery.lose(tx, lost, "robot_lost", "It fell silent."))
    assert breaker(scene).state == "open"
    assert scene.consume(robot).job is None
    scene.run(lambda tx: limiting.close_breaker(tx, "invoices"))
    assert run(scene, robot, Status.SUCCESS) == guids[3]


@on("mariadb")
def test_a_trial_that_proves_nothing_is_followed_by_another(scene: Scene, robot: Any) -> None:
    guids = scene.pending(6)
    for _ in range(3):
        run(scene, robot, Status.FAILED)
    cool_down(scene)
    assert run(scene, robot, Status.STOPPED) == guids[3]
    assert breaker(scene).state == "open"
    trial = scene.consume(robot).job  # taken, and never begun
    assert trial.guid == guids[4]
    taken = scene.job(trial.guid)
    scene.run(lambda tx: recovery.release(tx, taken))
    assert run(scene, robot, Status.SUCCESS) == guids[4]
    assert breaker(scene).state == "closed"


@on("sqlite")
def test_a_trial_whose_end_nobody_told_is_given_to_the_next(scene: Scene, robot: Any) -> None:
    guids = scene.pending(4)
    for _ in range(3):
        run(scene, robot, Status.FAILED)
    cool_down(scene)
    scene.run(lambda tx: tx.execute(update(Breaker).values(state="half_open", trial_job_id=999)))
    scene.run(gate.sweep)
    assert run(scene, robot, Status.SUCCESS) == guids[3]


@on("sqlite")
def test_without_a_cooldown_only_a_person_closes_it(scene: Scene, robot: Any) -> None:
    alone = SETTINGS | {"failures": 1, "cooldown_seconds": None}
    scene.run(lambda tx: limiting.limit_process(tx, "invoices", breaker=alone))
    scene.pending(2)
    run(scene, robot, Status.FAILED)
    assert breaker(scene).trial_at is None
    assert run(scene, robot, Status.SUCCESS) is None
    scene.run(lambda tx: limiting.limit_process(tx, "invoices", breaker=None))
    assert run(scene, robot, Status.SUCCESS) is not None
    with pytest.raises(Conflict):
        scene.run(lambda tx: limiting.close_breaker(tx, "invoices"))
