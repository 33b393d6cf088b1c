"""The life of a session on each database: asked, begun, open, closed; and who may speak in its name."""

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.errors import Conflict, NotFound
from orchestrator.jobs import consume, moves, report
from orchestrator.jobs.report import Report
from orchestrator.jobs.states import Status
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.lifecycle import RobotChanged
from orchestrator.robots.model import RobotStatus
from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions.credentials import authenticate
from orchestrator.sessions.lifecycle import Place
from orchestrator.sessions.model import Outcome
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks.model import Task, TaskStatus

RUN_LEASE = timedelta(seconds=45)
PLACE = Place("desk", "child-process", 4711)


def task_of(office: Any, session: Any) -> Any:
    query = Task.__table__.select().where(Task.kind == "open_session", Task.subject_id == session.id)
    return office.run(lambda tx: tx.execute(query).one())


def test_a_session_is_asked_for_opened_and_closed(office: Any) -> None:
    robot = office.robot(account="ana")
    public_id = office.run(sessions.ask, robot)
    (session,) = office.sessions()
    assert (session.public_id, session.state, session.node, session.account) == (
        public_id,
        "asked",
        "worker-1",
        "ana",
    )
    task = task_of(office, session)
    assert (task.node, task.max_attempts, task.tenant_id) == ("worker-1", 1, robot.tenant_id)
    opening = office.run(sessions.begin, session.id, "worker-1", "digest-of-x")
    assert (opening.id, opening.robot, opening.account) == (public_id, "Ана", "ana")
    office.run(sessions.opened, public_id, "worker-1", PLACE)
    office.run(sessions.opened, public_id, "worker-1", PLACE)  # said again
    (session,) = office.sessions()
    assert (session.state, session.machine, session.backend, session.pid) == (
        "open",
        "desk",
        "child-process",
        4711,
    )
    office.run(sessions.closed, public_id, "worker-1", Outcome.LOGGED_OFF, "The robot logged off.")
    office.run(sessions.closed, public_id, "worker-1", Outcome.FAILED, "said again, otherwise")
    (session,) = office.sessions()
    assert (session.state, session.outcome, session.reason) == (
        "closed",
        "logged_off",
        "The robot logged off.",
    )
    assert session.guid_digest is None and session.closed_at is not None


def test_a_robot_has_one_live_session_at_most(office: Any) -> None:
    robot = office.robot()
    first = office.run(sessions.ask, robot)
    assert office.run(sessions.ask, robot) is None
    office.run(sessions.close, first)
    assert office.run(sessions.ask, robot) is not None


def test_the_session_s_guid_speaks_for_the_robot_while_it_lasts(office: Any) -> None:
    robot = office.robot()
    office.run(robots.set_secret, "Ана", "s3cret", lambda text: f"digest-of-{text}")
    public_id = office.run(sessions.ask, robot)
    (session,) = office.sessions()
    guid = office.begin(session)
    for lock in (False, True):
        found = office.run(authenticate, f"digest-of-{guid}", lock=lock)
        assert (found.id, found.name, found.node) == (robot.id, "Ана", "worker-1")
        assert found.guid_digest == f"digest-of-{guid}"  # not the robot's own
        assert found.secret_digest is None  # the robot's secret is not the session's
    own = office.run(authenticate, robot.guid_digest)
    assert (own.id, own.guid_digest) == (robot.id, robot.guid_digest)
    office.run(sessions.closed, public_id, "worker-1", Outcome.LOGGED_OFF, "")
    assert office.run(authenticate, f"digest-of-{guid}") is None
    assert office.run(authenticate, robot.guid_digest) is not None


def test_a_deleted_robot_s_session_speaks_for_nobody(office: Any) -> None:
    robot = office.robot()
    office.run(sessions.ask, robot)
    guid = office.begin(office.sessions()[0])
    office.run(robots.delete, "Ана", lambda robot_id: False)
    assert office.run(authenticate, f"digest-of-{guid}") is None


def test_presence_is_told_when_a_session_ends(office: Any) -> None:
    told: list[RobotChanged] = []
    office.transactions.subscribe(RobotChanged, told.extend)
    robot = office.robot()
    public_id = office.run(sessions.ask, robot)
    office.begin(office.sessions()[0])
    office.change(robot, status=RobotStatus.READY.value)
    told.clear()
    office.run(sessions.closed, public_id, "worker-1", Outcome.FAILED, "exit code 3")
    assert told == [RobotChanged(robot.id)]
    assert office.run(robots.existing, "Ана").status == RobotStatus.DISCONNECTED


def test_another_node_s_word_does_not_count(office: Any) -> None:
    public_id = office.run(sessions.ask, office.robot())
    (session,) = office.sessions()
    with pytest.raises(Conflict):
        office.run(sessions.begin, session.id, "worker-2", "digest-of-x")
    office.begin(session)
    with pytest.raises(NotFound):
        office.run(sessions.opened, public_id, "worker-2", PLACE)
    with pytest.raises(NotFound):
        office.run(sessions.closed, public_id, "worker-2", Outcome.FAILED, "")
    assert office.sessions()[0].state == "asked"


def test_a_session_that_nobody_began_ends_at_once_and_its_task_with_it(office: Any) -> None:
    public_id = office.run(sessions.ask, office.robot())
    office.run(sessions.close, public_id)
    (session,) = office.sessions()
    assert (session.state, session.outcome) == ("closed", "closed")
    assert task_of(office, session).status == TaskStatus.CANCELLED
    with pytest.raises(Conflict):
        office.run(tasks.retry, task_of(office, session).guid)
    with pytest.raises(Conflict):
        office.run(sessions.begin, session.id, "worker-1", "digest-of-x")


def test_an_open_one_is_closed_by_its_node(office: Any) -> None:
    me = office.node()
    public_id = office.run(sessions.ask, office.robot())
    guid = office.begin(office.sessions()[0])
    office.run(sessions.opened, public_id, "worker-1", PLACE)
    assert office.keep(me, public_id).close_sessions == []
    office.run(sessions.close, public_id)
    office.run(sessions.close, public_id)  # said again
    assert office.sessions()[0].state == "closing"
    assert office.run(authenticate, f"digest-of-{guid}") is not None  # it is to end cleanly
    assert office.keep(me, public_id).close_sessions == [public_id]
    office.run(sessions.closed, public_id, "worker-1", Outcome.CLOSED, "asked to")
    with pytest.raises(Conflict):
        office.run(sessions.close, public_id)


def test_one_that_the_node_has_just_begun_is_closed_by_the_node_too(office: Any) -> None:
    me = office.node()
    public_id = office.run(sessions.ask, office.robot())
    office.begin(office.sessions()[0])
    office.run(sessions.close, public_id)
    office.run(sessions.opened, public_id, "worker-1", PLACE)
    assert office.sessions()[0].state == "closing"
    assert office.keep(me, public_id).close_sessions == [public_id]


def test_a_session_lapses_with_its_node(office: Any) -> None:
    me = office.node()
    public_id = office.run(sessions.ask, office.robot())
    guid = office.begin(office.sessions()[0])
    office.run(sessions.opened, public_id, "worker-1", PLACE)
    office.later(40)
    assert office.lapse() == 0
    office.later(10)
    assert office.lapse() == 1
    assert office.sessions()[0].outcome == "lapsed"
    assert office.run(authenticate, f"digest-of-{guid}") is None
    # The node was only cut off: its agent must go.
    assert office.keep(me, public_id).close_sessions == [public_id]
    with pytest.raises(Conflict):
        office.run(sessions.opened, public_id, "worker-1", PLACE)


def test_one_that_no_node_takes_lapses_too(office: Any) -> None:
    office.run(sessions.ask, office.robot())
    office.later(119)
    assert office.lapse() == 0
    office.later(2)
    assert office.lapse() == 1
    (session,) = office.sessions()
    assert session.outcome == "failed" and "worker-1" in session.reason
    assert task_of(office, session).status == TaskStatus.CANCELLED


def test_a_node_s_word_keeps_its_sessions_alive(office: Any) -> None:
    me = office.node()
    public_id = office.run(sessions.ask, office.robot())
    office.begin(office.sessions()[0])
    office.run(sessions.opened, public_id, "worker-1", PLACE)
    before = office.sessions()[0].last_seen
    office.later(40)
    office.keep(me, public_id)
    assert office.sessions()[0].last_seen >= before - timedelta(seconds=1)
    office.later(40)
    assert office.lapse() == 0


def test_what_a_node_no_longer_holds_has_ended(office: Any) -> None:
    me = office.node()
    public_id = office.run(sessions.ask, office.robot())
    office.begin(office.sessions()[0])
    office.run(sessions.opened, public_id, "worker-1", PLACE)
    office.keep(me)  # sent before the session was opened
    assert office.sessions()[0].state == "open"
    office.later(20)
    office.keep(me)
    assert (office.sessions()[0].state, office.sessions()[0].outcome) == ("closed", "lapsed")


def test_a_run_that_nobody_would_miss_is_missed_when_its_session_ends(office: Any) -> None:
    office.node()
    robot = office.robot()
    guid = office.job(robot="Ана")
    office.ask()
    session = office.sessions()[0]
    office.begin(session)

    def begun(tx: Any) -> None:
        handed = consume.consume(tx, robot, 2, RUN_LEASE)
        assert handed.job is not None
        report.report(tx, robot, Report(handed.job.guid, Status.IN_PROGRESS))

    office.run(begun)
    assert office.run(moves.find, guid).lease_until is None  # no working heartbeat has come
    before = office.run(lambda tx: tx.now)
    office.run(sessions.closed, session.public_id, "worker-1", Outcome.FAILED, "killed")
    within = office.run(moves.find, guid).lease_until - before
    assert timedelta(seconds=40) < within < timedelta(seconds=50)
