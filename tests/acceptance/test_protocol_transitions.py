"""Every state of a job against everything that a robot or a person may ask of it."""

from collections.abc import Callable

import pytest

from tests.acceptance.cluster import Cluster, Problem, Robot
from tests.acceptance.cluster.api import TERMINAL
from tests.acceptance.cluster.robot import ABORTED, FAILED, IN_PROGRESS, STOPPED, STOPPING, SUCCESS

CREATED, PENDING, ABORTING = 0, 1, 2
STATUSES = range(9)
ROBOT_MAY = {
    PENDING: {IN_PROGRESS},
    IN_PROGRESS: {SUCCESS, FAILED, STOPPED, ABORTED},
    STOPPING: {STOPPED, SUCCESS, FAILED},
    ABORTING: {ABORTED, SUCCESS, FAILED},
}


class Case:
    """A job that its robot has consumed, brought into `state`."""

    def __init__(self, cluster: Cluster, process: str, state: int) -> None:
        self.api = cluster.api
        self.robot: Robot = cluster.new_robot()
        self.job = self.api.ask_and_hand_out(process, robot=self.robot.name)
        self.robot.take()
        if state == PENDING:
            return
        self.says(IN_PROGRESS)
        if state == STOPPING:
            self.api.post(f"/jobs/{self.job}/stop")
        elif state == ABORTING:
            self.api.post(f"/jobs/{self.job}/abort")
        elif state != IN_PROGRESS:
            self.says(state, result='"first"')

    def says(self, status: int, **more: object) -> None:
        answer = self.robot.update(self.job, status, **more)
        assert answer.json() == {"guid": self.job, "status": status, "ErrorText": ""}, answer.text
        assert answer.status_code == 200

    def is_refused(self, status: int, state: int) -> None:
        before = self.api.job(self.job)
        answer = self.robot.update(self.job, status, result='"second"', error="no", progress=99)
        assert answer.status_code == 409, f"{state} -> {status}: {answer.text}"
        assert answer.json()["status"] == state and answer.json()["ErrorText"]
        assert self.api.job(self.job) == before


@pytest.mark.parametrize("state", [status for status in STATUSES if status != CREATED])
def test_a_robot_may_ask_for_exactly_what_is_drawn(shared_cluster: Cluster, process: str, state: int) -> None:
    allowed = ROBOT_MAY.get(state, set())
    refused = Case(shared_cluster, process, state)
    assert shared_cluster.api.job(refused.job)["status"] == state
    for status in STATUSES:
        if status in allowed:
            case = Case(shared_cluster, process, state)
            case.says(status)
            assert case.api.job(case.job)["status"] == status
            case.says(status)  # said again after a lost answer
        elif status == state:
            refused.says(status)
        else:
            refused.is_refused(status, state)
    assert shared_cluster.api.job(refused.job)["status"] == state


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_end_said_again_changes_nothing(shared_cluster: Cluster, process: str, state: int) -> None:
    case = Case(shared_cluster, process, state)
    before = case.api.job(case.job)
    entries = case.api.history(case.job)
    assert before["result"] == "first"
    case.says(state, result='"second"', error="second", progress=1)
    assert case.api.job(case.job) == before
    assert case.api.history(case.job) == entries


PERSON_MAY = {
    ("stop", CREATED): STOPPED,
    ("stop", PENDING): STOPPED,
    ("stop", IN_PROGRESS): STOPPING,
    ("abort", IN_PROGRESS): ABORTING,
    ("abort", STOPPING): ABORTING,
}


@pytest.mark.parametrize(("wish", "state"), PERSON_MAY)
def test_a_person_may_cancel_stop_and_abort(
    shared_cluster: Cluster, process: str, wish: str, state: int
) -> None:
    api = shared_cluster.api
    if state == CREATED:
        job = api.ask(process, not_before="2999-01-01T00:00:00Z")
    else:
        job = Case(shared_cluster, process, state).job
    assert api.job(job)["status"] == state
    api.post(f"/jobs/{job}/{wish}")
    assert api.job(job)["status"] == PERSON_MAY[wish, state]


@pytest.mark.parametrize("wish", ["stop", "abort"])
@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nobody_wakes_what_has_ended(shared_cluster: Cluster, process: str, wish: str, state: int) -> None:
    case = Case(shared_cluster, process, state)
    before = case.api.job(case.job)
    with pytest.raises(Problem) as refusal:
        case.api.post(f"/jobs/{case.job}/{wish}")
    assert refusal.value.status == 409
    assert case.api.job(case.job) == before


def test_a_retry_is_a_new_job_that_names_the_old_one(shared_cluster: Cluster, process: str) -> None:
    case = Case(shared_cluster, process, FAILED)
    before = case.api.job(case.job)
    retry = case.api.post(f"/jobs/{case.job}/retry")
    assert retry["guid"] != case.job
    assert retry["retry_of"] == case.job
    assert case.api.job(case.job) == before
    case.api.until_status(retry["guid"], PENDING)
    assert case.robot.take().guid == retry["guid"]


Order = Callable[[Case], None]


@pytest.mark.parametrize(
    ("wish", "order", "ends"), [("stop", 20, (STOPPED, SUCCESS)), ("abort", 10, (ABORTED, FAILED))]
)
def test_an_order_reaches_the_robot_with_its_heartbeat(
    shared_cluster: Cluster, process: str, wish: str, order: int, ends: tuple[int, ...]
) -> None:
    for end in ends:
        case = Case(shared_cluster, process, IN_PROGRESS)
        assert case.robot.order(case.job) == 0
        case.api.post(f"/jobs/{case.job}/{wish}")
        assert [case.robot.order(case.job) for _ in range(3)] == [order] * 3
        case.says(end)
        assert case.robot.beat().json()["HeartbeatErrorCode"] == 0


def test_an_abort_overtakes_a_stop(shared_cluster: Cluster, process: str) -> None:
    case = Case(shared_cluster, process, STOPPING)
    assert case.robot.order(case.job) == 20
    case.api.post(f"/jobs/{case.job}/abort")
    assert case.robot.order(case.job) == 10
    case.says(ABORTED)


def test_a_cancelled_job_is_not_handed_out(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    assert robot.beat().json()["HasNewJob"] == 1
    shared_cluster.api.post(f"/jobs/{job}/stop")
    assert robot.beat().json()["HasNewJob"] == 0
    assert robot.take_or_none() is None


def test_a_job_cancelled_between_consume_and_start_does_not_start(
    shared_cluster: Cluster, process: str
) -> None:
    case = Case(shared_cluster, process, PENDING)
    case.api.post(f"/jobs/{case.job}/stop")
    case.is_refused(IN_PROGRESS, STOPPED)
    after = case.api.ask_and_hand_out(process, robot=case.robot.name)
    assert case.robot.take().guid == after
