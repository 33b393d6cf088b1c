"""job/update: what a robot may say of its job, and when its word comes too late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.errors import NotAllowedNow, NotFound
from orchestrator.jobs import lifecycle, report
from orchestrator.jobs.moves import OrderGiven, RunEnded
from orchestrator.jobs.report import ERROR_LIMIT, Report
from orchestrator.jobs.states import TERMINAL, Status
from orchestrator.robots.lifecycle import NewRobot
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import Scene, actor_of, race

Work = Callable[[Transaction], Any]


def test_the_life_of_a_job_is_kept_whole(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.report(robot, guid, Status.SUCCESS, result={"rows": [1, "ü", None]}, progress=100)
    job = scene.job(guid)
    assert (job.status, job.result, job.progress) == (Status.SUCCESS, {"rows": [1, "ü", None]}, 100)
    times = [job.created_at, job.pending_at, job.consumed_at, job.started_at, job.finished_at]
    assert times == sorted(times)
    assert (job.lease_until, job.run_until) == (None, None)
    assert [line.event for line in scene.history(guid)] == [
        "create",
        "dispatch",
        "consume",
        "start",
        "succeed",
    ]
    (run,) = scene.runs(guid)
    assert (run.robot_id, run.fence, run.ended_at) == (robot.id, job.fence, job.finished_at)


@on("sqlite")
@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_the_end_said_again_is_accepted_and_changes_nothing(scene: Scene, status: Status) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.report(robot, guid, status)
    _, before = scene.trial(lambda _: None)
    told = Report(guid, status, result="another", error="another", progress=3)
    outcome, after = scene.trial(lambda tx: report.report(tx, robot, told))
    assert outcome == status
    assert after == before


@on("sqlite")
def test_progress_is_noted_while_the_job_runs(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.report(robot, guid, Status.IN_PROGRESS, progress=40)
    assert scene.job(guid).progress == 40
    assert len(scene.history(guid)) == 4
    scene.stop(guid)
    scene.report(robot, guid, Status.STOPPING, progress=60)
    assert scene.job(guid).progress == 60


@on("sqlite")
def test_a_long_error_is_cut_and_its_last_line_is_in_the_history(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.report(robot, guid, Status.FAILED, error="x" * 20_000 + "\nValueError: VAT\n")
    job = scene.job(guid)
    assert len(job.error) == ERROR_LIMIT
    assert job.reason == "robot_reported"
    assert scene.history(guid)[-1].reason == "ValueError: VAT"


def test_a_late_word_after_another_attempt_began_is_refused(scene: Scene) -> None:
    old, new = scene.robot("old"), scene.robot("new")
    (guid,) = scene.pending(on_lost="requeue", max_attempts=2)
    fence = scene.consume(old).fence
    scene.report(old, guid, Status.IN_PROGRESS)
    scene.consume(old)  # says Ready: the run is lost
    assert scene.job(guid).status == Status.CREATED
    with pytest.raises(NotAllowedNow):
        scene.report(old, guid, Status.SUCCESS)
    scene.dispatch()
    assert scene.consume(new).fence > fence
    scene.report(new, guid, Status.IN_PROGRESS)
    before = scene.job(guid)
    for late in (Status.SUCCESS, Status.FAILED, Status.IN_PROGRESS):
        with pytest.raises(NotAllowedNow) as refused:
            scene.report(old, guid, late)
        assert refused.value.status == Status.IN_PROGRESS
    assert scene.job(guid) == before


@on("sqlite")
def test_the_fence_tells_the_attempts_of_one_robot_apart(scene: Scene) -> None:
    robot = scene.robot("r1")
    (guid,) = scene.pending(on_lost="requeue", max_attempts=2)
    first = scene.consume(robot).fence
    scene.report(robot, guid, Status.IN_PROGRESS)
    scene.consume(robot)
    scene.dispatch()
    second = scene.consume(robot).fence
    scene.report(robot, guid, Status.IN_PROGRESS, fence=second)
    with pytest.raises(NotAllowedNow, match=f"fence: {first} is not this run's"):
        scene.report(robot, guid, Status.FAILED, fence=first)
    assert scene.report(robot, guid, Status.SUCCESS, fence=second) == Status.SUCCESS


@on("sqlite")
def test_foreign_and_unknown_jobs_are_not_found_alike(scene: Scene) -> None:
    robot, other = scene.robot("r1"), scene.robot("r2")
    guid = scene.in_progress(robot)
    told = []
    for asked in (guid, NewRobot("x").guid, "", "nonsense"):
        with pytest.raises(NotFound) as missing:
            scene.report(other, asked, Status.SUCCESS)
        told.append(missing.value.detail)
    assert len(set(told)) == 1
    with pytest.raises(NotFound):
        scene.run(lambda tx: report.report(tx, robot, Report(guid, Status.SUCCESS)), tenant_id=2)


@on("sqlite")
def test_a_guid_is_read_without_regard_to_case_and_braces(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    assert scene.report(robot, f" {{{guid.upper()}}} ", Status.SUCCESS) == Status.SUCCESS


@on("mariadb", "postgres")
def test_abort_races_success_and_one_end_comes_of_it(scene: Scene) -> None:
    robot = scene.robot("r1")
    ends = set()
    for _ in range(12):
        guid = scene.in_progress(robot)
        aborted, succeeded = race(
            lambda guid=guid: scene.abort(guid),
            lambda guid=guid: scene.report(robot, guid, Status.SUCCESS),
        )
        assert succeeded == Status.SUCCESS
        assert aborted is None or isinstance(aborted, NotAllowedNow)
        assert scene.job(guid).status == Status.SUCCESS
        events = [line.event for line in scene.history(guid)][4:]
        assert events in (["abort", "succeed"], ["succeed"])
        assert (aborted is None) == (len(events) == 2)
        ends.add(len(events))
    assert ends <= {1, 2}


@on("mariadb", "postgres")
@pytest.mark.parametrize("first", ["abort", "success"])
def test_abort_and_success_in_both_orders(scene: Scene, first: str) -> None:
    """The second waits for the first's commit, and judges by what it finds then."""
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)

    def abort(tx: Transaction) -> None:
        lifecycle.abort(tx, guid, timedelta(seconds=30))

    def succeed(tx: Transaction) -> Status:
        return report.report(tx, robot, Report(guid, Status.SUCCESS))

    order: tuple[Work, Work] = (abort, succeed) if first == "abort" else (succeed, abort)
    outcomes = scene.one_after_the_other(*order, actor=actor_of(robot))
    assert scene.job(guid).status == Status.SUCCESS
    if first == "abort":
        assert outcomes[1] == Status.SUCCESS
    else:
        assert isinstance(outcomes[1], NotAllowedNow)
        assert outcomes[1].status == Status.SUCCESS


@on("mariadb", "postgres")
def test_two_ends_race_and_the_first_one_counts(scene: Scene) -> None:
    robot = scene.robot("r1")
    for _ in range(6):
        guid = scene.in_progress(robot)
        outcomes = race(
            lambda guid=guid: scene.report(robot, guid, Status.SUCCESS),
            lambda guid=guid: scene.report(robot, guid, Status.FAILED),
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, NotAllowedNow)]
        assert len(refused) == 1
        assert refused[0].status == scene.job(guid).status
        assert len(scene.history(guid)) == 5


@on("mariadb", "postgres")
@pytest.mark.parametrize("verb", ["stop", "abort"])
def test_a_person_who_comes_while_a_robot_takes_the_job_cancels_it_all_the_same(
    scene: Scene, verb: str
) -> None:
    robot = scene.robot("r1")
    (guid,) = scene.pending()
    people = {
        "stop": lambda tx: lifecycle.stop(tx, guid),
        "abort": lambda tx: lifecycle.abort(tx, guid, timedelta(seconds=30)),
    }
    outcomes = scene.one_after_the_other(lambda tx: scene.consume_in(tx, robot), people[verb])
    assert outcomes[1] is None
    assert scene.job(guid).status == Status.STOPPED


def test_cancelling_a_job_that_a_robot_took_ends_the_run_and_frees_the_robot(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid, other = scene.pending(2)
    assert scene.consume(robot).job.guid == guid
    ended: list[RunEnded] = []
    scene.transactions.subscribe(RunEnded, ended.extend)
    scene.stop(guid)
    assert [run.ended_at is None for run in scene.runs(guid)] == [False]
    assert ended == [RunEnded(robot.id, guid)]
    with pytest.raises(NotAllowedNow):
        scene.report(robot, guid, Status.IN_PROGRESS)
    assert scene.consume(robot).job.guid == other


@on("sqlite")
def test_orders_are_announced_for_the_robot_that_runs_the_job(scene: Scene) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    orders: list[OrderGiven] = []
    scene.transactions.subscribe(OrderGiven, orders.extend)
    scene.stop(guid)
    scene.stop(guid)
    scene.abort(guid)
    scene.abort(guid)
    assert orders == [OrderGiven(robot.id, guid, 20), OrderGiven(robot.id, guid, 10)]
