"""Two programs with one GUID: the second is told so, shown to people, and cannot disturb the first's run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from orchestrator.audit import AuditRecord
from orchestrator.insights import explain, jobs
from orchestrator.insights import robots as seen
from orchestrator.insights.gauges import gauges
from orchestrator.jobs import heartbeat
from orchestrator.jobs.heartbeat import Answer, Beat
from orchestrator.jobs.states import Status
from orchestrator.robots import doubles
from orchestrator.robots.doubles import Program
from orchestrator.robots.lifecycle import authenticate
from orchestrator.robots.model import Robot
from tests.integration.conftest import on
from tests.integration.scene import LEASE, READY, WORKING, Scene, actor_of

HERE = {"machine": "desk-1", "ip": "10.0.0.1", "mac": "aa"}
THERE = {"machine": "desk-2", "ip": "10.0.0.2", "mac": "bb"}


def beat(scene: Scene, robot: Any, status: int, guid: str = "", **where: str) -> Answer:
    """As the protocol's handler does it, with the robot's row as it is now."""

    def work(tx: Any) -> Answer:
        return heartbeat.beat(tx, authenticate(tx, robot.guid_digest), Beat(status, guid, **where), LEASE)

    return scene.run(work, actor=actor_of(robot))


def shown(scene: Scene, robot: Any) -> Any:
    now = scene.robot_now(robot.name)
    return scene.run(lambda tx: seen.doubled(now, tx.now))


def reasons(scene: Scene, guid: str) -> list[str]:
    def work(tx: Any) -> list[str]:
        row = jobs.found(tx, guid)
        return [reason.code for reason in explain._reasons(tx, row, None)]  # type: ignore[arg-type]

    return scene.run(work)


def audited(scene: Scene) -> int:
    query = select(func.count()).where(AuditRecord.action == "robot.doubled")
    return scene.run(lambda tx: int(tx.execute(query).scalar_one()))


def silent_for(scene: Scene, robot: Any, seconds: float) -> None:
    """Past the verbs: as if the robot had last been heard that long ago."""
    then = scene.past(seconds)
    scene.run(lambda tx: tx.execute(update(Robot).where(Robot.id == robot.id).values(last_seen=then)))


def test_a_second_program_that_is_ready_does_not_end_the_first_s_run(scene: Scene) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **HERE)
    guid = scene.in_progress(robot)
    assert beat(scene, robot, WORKING, guid, **HERE).code == 0
    answer = beat(scene, robot, READY, **THERE)
    assert (answer.code, answer.has_new_job) == (0, False)
    assert "Another program on desk-1 works with the GUID of robot r1" in answer.text
    assert scene.job(guid).status == Status.IN_PROGRESS
    now = scene.robot_now("r1")
    assert (now.machine, now.ip, now.status) == ("desk-1", "10.0.0.1", WORKING)
    assert shown(scene, robot).machine == "desk-2"
    assert "robot_doubled" in reasons(scene, guid)
    assert scene.run(gauges).doubled == 1
    assert audited(scene) == 1
    beat(scene, robot, READY, **THERE)
    assert audited(scene) == 1  # once for all its heartbeats
    assert beat(scene, robot, WORKING, guid, **HERE).code == 0
    scene.report(robot, guid, Status.SUCCESS)
    assert scene.job(guid).status == Status.SUCCESS


@on("sqlite")
def test_a_second_program_that_works_is_told_to_abort(scene: Scene) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **HERE)
    guid = scene.in_progress(robot)
    beat(scene, robot, WORKING, guid, **HERE)
    assert beat(scene, robot, WORKING, guid, **THERE).code == 10
    assert beat(scene, robot, WORKING, guid, **HERE).code == 0


@on("sqlite")
def test_the_first_working_heartbeat_says_whose_the_run_is(scene: Scene) -> None:
    """Both waited, one took the job, and the other was heard last."""
    robot = scene.robot("r1")
    for where in (HERE, THERE, HERE, THERE):
        beat(scene, robot, READY, **where)
    assert shown(scene, robot) is not None  # they took turns
    guid = scene.in_progress(robot)
    assert not beat(scene, robot, READY, **THERE).has_new_job  # nobody can say whose run it is
    assert scene.job(guid).status == Status.IN_PROGRESS
    assert beat(scene, robot, WORKING, guid, **HERE).code == 0
    assert beat(scene, robot, READY, **THERE).text
    assert scene.job(guid).status == Status.IN_PROGRESS


@on("sqlite")
@pytest.mark.parametrize(
    "where",
    [HERE, HERE | {"ip": "10.9.9.9", "mac": "cc"}, {}],
    ids=["the same place", "another address", "no place"],
)
def test_a_robot_that_was_started_again_loses_its_run_at_once(scene: Scene, where: dict[str, str]) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **HERE)
    guid = scene.in_progress(robot)
    beat(scene, robot, WORKING, guid, **HERE)
    beat(scene, robot, READY, **where)
    assert (scene.job(guid).status, scene.job(guid).reason) == (Status.FAILED, "robot_said_ready")
    assert shown(scene, robot) is None


@on("sqlite", "mariadb")
def test_a_robot_that_moved_when_it_was_silent_is_no_second_one(scene: Scene) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **HERE)
    guid = scene.in_progress(robot)
    silent_for(scene, robot, LEASE.total_seconds() + 1)
    beat(scene, robot, READY, **THERE)
    assert scene.job(guid).status == Status.FAILED
    assert scene.robot_now("r1").machine == "desk-2"


@on("sqlite")
def test_one_move_is_no_double_and_turns_long_ago_are_none_either(scene: Scene) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **HERE)
    beat(scene, robot, READY, **THERE)
    assert shown(scene, robot) is None
    silent_for(scene, robot, 600)
    other = scene.robot_now("r1").other | {"at": scene.past(600).isoformat()}
    scene.run(lambda tx: tx.execute(update(Robot).where(Robot.id == robot.id).values(other=other)))
    beat(scene, robot, READY, **HERE)
    assert shown(scene, robot) is None


@on("sqlite")
def test_agents_on_one_machine_are_told_apart_by_their_folders(scene: Scene) -> None:
    robot = scene.robot("r1")
    first, second = HERE | {"instance": "one"}, HERE | {"instance": "two"}
    beat(scene, robot, READY, **first)
    guid = scene.in_progress(robot)
    beat(scene, robot, WORKING, guid, **first)
    assert beat(scene, robot, READY, **second).text
    assert scene.job(guid).status == Status.IN_PROGRESS
    beat(scene, robot, READY, **first)  # started again, with its folder
    assert scene.job(guid).status == Status.FAILED


@on("sqlite")
def test_who_is_handed_a_job_is_the_robot_s_own_program(scene: Scene) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **THERE)

    def handed(tx: Any) -> None:
        doubles.own(tx, authenticate(tx, robot.guid_digest), Program("desk-1", instance="one"), 2 * LEASE)

    scene.run(handed)
    now = scene.robot_now("r1")
    assert (now.machine, now.instance, now.ip) == ("desk-1", "one", "")

    def is_second(tx: Any) -> list[bool]:
        row = authenticate(tx, robot.guid_digest)
        return [
            doubles.is_second(tx, row, program, timedelta(seconds=45))
            for program in (Program("desk-1", instance="one"), Program("desk-2"), Program())
        ]

    assert scene.run(is_second) == [False, True, False]


def test_what_a_robot_leaves_out_of_a_heartbeat_stays_known(scene: Scene) -> None:
    robot = scene.robot("r1")
    beat(scene, robot, READY, **HERE)
    beat(scene, robot, READY)
    beat(scene, robot, READY, machine="desk-1")
    assert kept(scene, robot) == ("desk-1", "10.0.0.1", "aa")
    beat(scene, robot, READY, machine="desk-1", ip="10.0.0.9")
    assert kept(scene, robot) == ("desk-1", "10.0.0.9", "aa")
    beat(scene, robot, READY, machine="desk-2")
    assert kept(scene, robot) == ("desk-2", "", ""), "another machine has its own addresses"


def kept(scene: Scene, robot: Any) -> tuple[str, str, str]:
    now = scene.robot_now(robot.name)
    return now.machine, now.ip, now.mac
