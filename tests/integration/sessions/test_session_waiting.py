"""For whom a session is asked: away robots that a job needs, one at a time for a line, and not in a rush."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster import worker_nodes
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.model import Robot, RobotStatus
from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions import waiting
from orchestrator.sessions.lifecycle import Place
from orchestrator.sessions.model import Outcome
from scheduler.maintenance import sessions as duty
from tests.integration.sessions.conftest import RUN_LEASE


def robots_asked(office: Any) -> list[int]:
    return [session.robot_id for session in office.sessions()]


def test_a_job_for_a_robot_that_is_away_asks_for_its_session_once(office: Any) -> None:
    office.node()
    robot, _ = office.robot("Ана"), office.robot("Борис")
    assert office.ask() == 0
    office.job(robot="Ана")
    assert office.ask() == 1
    assert office.ask() == 0
    assert robots_asked(office) == [robot.id]


def test_a_session_that_cannot_be_asked_for_keeps_no_other_from_it(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.node()
    poison, other = office.robot("Ана"), office.robot("Борис")
    office.job(robot="Ана")
    office.job(robot="Борис")
    ask = sessions.ask

    def some(tx: Any, robot: Any) -> str | None:
        if robot.id == poison.id:
            raise ValueError("its account cannot be read")
        return ask(tx, robot)

    monkeypatch.setattr(sessions, "ask", some)
    assert office.counts(duty.ask) == {"asked": 1, "not_done": 1}
    assert robots_asked(office) == [other.id]


def test_a_robot_that_has_come_meanwhile_is_not_asked_for(office: Any) -> None:
    office.node()
    robot = office.robot()
    office.job(robot=robot.name)
    found = office.run(waiting.chosen, RUN_LEASE)
    assert [one.id for one in found] == [robot.id]
    ready = {"status": RobotStatus.READY.value}
    office.run(lambda tx: tx.execute(update(Robot).values(**ready, last_seen=tx.now)))
    assert not office.run(waiting.ask, found[0], RUN_LEASE)
    assert robots_asked(office) == []


@pytest.mark.parametrize(
    "values",
    [
        {"status": RobotStatus.READY.value},
        {"status": RobotStatus.WORKING.value},
    ],
)
def test_a_robot_that_is_there_needs_none(office: Any, values: dict[str, Any]) -> None:
    office.node()
    robot = office.robot()
    office.job(robot="Ана")
    seen = office.run(lambda tx: tx.now)
    office.change(robot, last_seen=seen, **values)
    assert office.ask() == 0
    office.change(robot, last_seen=seen - timedelta(seconds=60))
    assert office.ask() == 1


def test_one_that_has_logged_off_a_moment_ago_is_away(office: Any) -> None:
    office.node()
    robot = office.robot()
    office.job(robot="Ана")
    seen = office.run(lambda tx: tx.now)
    office.change(robot, last_seen=seen, status=RobotStatus.DISCONNECTED.value)
    assert office.ask() == 1


def test_nobody_asks_for_what_cannot_be_had(office: Any) -> None:
    office.node("worker-1")
    office.node("worker-2")
    office.node("worker-3")
    office.silence("worker-2")
    office.run(worker_nodes.drain, "worker-3")
    office.robot("paused")
    office.run(robots.pause, "paused")
    office.robot("attended", kind="attended")
    office.robot("homeless", node="")
    office.robot("lost node", node="worker-2")
    office.robot("leaving node", node="worker-3")
    office.robot("no such node", node="scheduler-1")
    for name in ("paused", "attended", "homeless", "lost node", "leaving node", "no such node"):
        office.job(robot=name)
    office.job()
    assert office.ask() == 0
    office.run(robots.resume, "paused")
    assert office.ask() == 1


@pytest.mark.parametrize("target", [{"group": "Бухгалтерия"}, {}])
def test_a_line_wakes_one_robot_at_a_time(office: Any, target: dict[str, str]) -> None:
    office.node()
    first, second = (office.robot(name, group="Бухгалтерия") for name in ("Ана", "Борис"))
    office.robot("Вера")
    for _ in range(5):
        office.job(**target)
    assert office.ask() == 1
    assert office.ask() == 0  # one is about to come
    assert robots_asked(office) == [first.id]
    (session,) = office.sessions()
    office.begin(session)
    office.run(sessions.opened, session.public_id, "worker-1", Place("desk", "child-process", 1))
    assert office.ask() == 0
    seen = office.run(lambda tx: tx.now)
    office.change(first, last_seen=seen, status=RobotStatus.READY.value)
    office.later(30)
    assert office.ask() == 0  # it is ready
    office.change(first, status=RobotStatus.WORKING.value)
    assert office.ask() == 1
    assert robots_asked(office) == [first.id, second.id]


def test_a_group_s_job_is_no_work_for_others(office: Any) -> None:
    office.node()
    office.robot("Ана")
    office.robot("Борис", group="Склад")
    office.robot("Вера", group="Бухгалтерия")
    office.job(group="Бухгалтерия")
    assert office.ask() == 1
    assert robots_asked(office) == [office.run(robots.existing, "Вера").id]


def test_a_ready_robot_elsewhere_serves_the_line(office: Any) -> None:
    office.node()
    office.robot("Ана")
    elsewhere = office.robot("Борис", node="")
    office.change(elsewhere, last_seen=office.run(lambda tx: tx.now), status=RobotStatus.READY.value)
    office.job()
    assert office.ask() == 0
    office.run(robots.pause, "Борис")
    assert office.ask() == 1


def test_a_robot_whose_sessions_fail_is_left_alone_for_longer_each_time(office: Any) -> None:
    office.node()
    office.robot()
    office.job(robot="Ана")

    def fail() -> None:
        session = office.sessions()[-1]
        office.begin(session)
        office.run(sessions.closed, session.public_id, "worker-1", Outcome.FAILED, "no such account")

    assert office.ask() == 1
    fail()
    assert office.ask() == 0
    office.later(6)
    assert office.ask() == 1
    fail()
    office.later(6)
    assert office.ask() == 0
    office.later(6)
    assert office.ask() == 1
    office.begin(office.sessions()[-1])
    office.run(sessions.closed, office.sessions()[-1].public_id, "worker-1", Outcome.LOGGED_OFF, "")
    assert office.ask() == 1  # one that went well makes good for all before it
