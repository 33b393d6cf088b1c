"""Heartbeats that wait: held while there is nothing to do, and answered when there is."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.acceptance.cluster import Cluster, Robot, eventually
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.cluster.robot import READY, WORKING, basic
from tests.deadlines import STARVED, within

WAITS = 64  # at least so many at a time, says the protocol's page
LONG = os.environ.get("BOTSWAIN_LONG_DRILLS") == "1"


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WAITS + 8) as threads:
        yield threads


def waiting(robot: Robot, seconds: object) -> tuple[dict[str, object], float]:
    """The answer of a heartbeat that waits, and the moment in which it came."""
    answer = robot.beat(Wait=seconds)
    assert answer.status_code == 200, answer.text
    return answer.json(), time.monotonic()


def until_held(cluster: Cluster, robots: dict[str, "Future[tuple[dict[str, object], float]]"]) -> None:
    """Nothing tells from outside that a request is being held; of these robots it is known that they have
    said Ready, and they have had no answer."""

    def are_here() -> bool:
        assert not any(future.done() for future in robots.values())
        return all(cluster.api.get(f"/robots/{name}")["status"] == READY for name in robots)

    eventually(are_here, "the robots have said that they are there")


def test_without_a_job_the_answer_comes_when_the_time_is_up(shared_cluster: Cluster) -> None:
    robot = shared_cluster.new_robot()
    begun = time.monotonic()
    with within(5):
        answer, at = waiting(robot, 2)
    assert answer["HasNewJob"] == 0 and answer["HeartbeatErrorCode"] == 0
    assert at - begun > 1.9


def test_with_a_job_nobody_waits(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    with within(3):
        answer, _ = waiting(robot, 30)
    assert answer["HasNewJob"] == 1


def test_a_working_robot_is_not_held(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()
    with within(3):
        assert robot.beat(WORKING, job, Wait=30).json()["HasNewJob"] == 0


@pytest.mark.parametrize("seconds", [30, 1000, 10**9], ids=["30", "1000, which counts as 55", "10^9"])
def test_a_new_job_wakes_its_robot_at_once(
    shared_cluster: Cluster, process: str, threads: ThreadPoolExecutor, seconds: int
) -> None:
    robot = shared_cluster.new_robot()
    held = threads.submit(waiting, robot, seconds)
    until_held(shared_cluster, {robot.name: held})
    job = shared_cluster.api.ask(process, robot=robot.name)
    with within(3):
        answer, _ = held.result(70)
    assert answer["HasNewJob"] == 1
    assert robot.take().guid == job


def test_a_job_for_its_group_and_one_for_anybody_wake_a_robot(
    new_cluster: NewCluster, threads: ThreadPoolExecutor
) -> None:
    cluster = new_cluster().start()  # in the shared one a job for anybody could be another test's robot's
    process = cluster.api.publish("for-anybody")
    for wish in ({"group": "mail"}, {}):
        robot = cluster.new_robot(group="mail")
        held = threads.submit(waiting, robot, 40)
        until_held(cluster, {robot.name: held})
        job = cluster.api.ask(process, **wish)
        with within(3):
            answer, _ = held.result(60)
        assert answer["HasNewJob"] == 1, wish
        assert robot.begin().guid == job


def test_sixty_four_wait_and_short_requests_stay_quick(
    shared_cluster: Cluster, process: str, threads: ThreadPoolExecutor
) -> None:
    robots = [shared_cluster.new_robot() for _ in range(WAITS)]
    short = shared_cluster.new_robot()
    held = {robot.name: threads.submit(waiting, robot, 55) for robot in robots}
    until_held(shared_cluster, held)
    took = []
    for _ in range(50):
        begun = time.monotonic()
        assert short.beat().status_code == 200
        shared_cluster.api.get(f"/robots/{short.name}")
        took.append(time.monotonic() - begun)
    # Without a thread each would wait for one of the others to end.
    assert not [future.result() for future in held.values() if future.done()]
    assert sorted(took)[25] < 0.5 * STARVED, sorted(took)

    wishes = [{"process": process, "robot": robot.name} for robot in robots]
    shared_cluster.api.post("/jobs", wishes)
    with within(10):
        assert [future.result(60)[0]["HasNewJob"] for future in held.values()] == [1] * WAITS


def hang_up_while_held(cluster: Cluster, robot: Robot) -> None:
    form = f"RobotGUID={robot.guid}&Status=2&Wait=4"
    head = (
        "POST /api/robot/heartbeat HTTP/1.1",
        "Host: orchestrator",
        f"Authorization: {basic(robot.guid)}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(form)}",
    )
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=10) as connection:
        connection.sendall(("\r\n".join(head) + "\r\n\r\n" + form).encode())


def test_who_hangs_up_takes_nobody_s_place_for_longer_than_it_asked(shared_cluster: Cluster) -> None:
    """Robots that die while they wait; those that come after them are held and woken as ever."""
    robots = [shared_cluster.new_robot() for _ in range(20)]
    for _ in range(10):
        for robot in robots:
            hang_up_while_held(shared_cluster, robot)
    robot = shared_cluster.new_robot()

    def held() -> bool:
        begun = time.monotonic()
        answer, at = waiting(robot, 1)
        return answer["HasNewJob"] == 0 and at - begun > 0.9

    eventually(held, "a newcomer is held")


@pytest.mark.skipif(not LONG, reason="takes a minute; BOTSWAIN_LONG_DRILLS=1 runs it")
def test_a_wait_ends_after_55_seconds_at_the_latest(shared_cluster: Cluster) -> None:
    robot = shared_cluster.new_robot()
    begun = time.monotonic()
    with within(58):
        answer, at = waiting(robot, 600)
    assert answer["HasNewJob"] == 0
    assert at - begun > 54


@pytest.mark.skipif(not LONG, reason="takes half a minute; BOTSWAIN_LONG_DRILLS=1 runs it")
def test_beyond_the_capacity_everybody_is_answered(shared_cluster: Cluster) -> None:
    robots = [shared_cluster.new_robot() for _ in range(250)]
    short = shared_cluster.new_robot()
    with ThreadPoolExecutor(len(robots)) as many:
        held = [many.submit(waiting, robot, 15) for robot in robots]
        eventually(lambda: any(future.done() for future in held), "some are answered at once", 10)
        with within(3):
            assert short.beat().status_code == 200
        assert sum(not future.done() for future in held) >= WAITS
        for future in held:
            assert future.result(40)[0]["HeartbeatErrorCode"] == 0
