"""Which job a robot is handed, how often, and what it is told when there is none."""

import threading
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

from tests.acceptance.cluster import Cluster, eventually
from tests.acceptance.cluster.robot import FAILED, IN_PROGRESS, NO_NEW_JOB, READY, SUCCESS, WORKING

PENDING, CREATED = 1, 0
NEVER = "2999-01-01T00:00:00Z"


def test_a_job_asked_for_again_before_it_runs_is_the_same_job(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    first = robot.take()
    assert first.guid == job
    shared_cluster.api.ask_and_hand_out(process, robot=robot.name, priority=100)
    for _ in range(3):
        again = robot.take()
        assert again == first
    assert robot.update(job, IN_PROGRESS).status_code == 200
    consumed = [entry for entry in shared_cluster.api.history(job) if entry["event"] == "consume"]
    assert len({entry["attempt"] for entry in consumed}) == 1
    assert shared_cluster.api.job(job)["attempt"] == 1


def test_two_requests_at_once_are_handed_one_job(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    for _ in range(3):
        shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    start = threading.Barrier(4)

    def take() -> str:
        start.wait(30)
        return robot.take().guid

    with ThreadPoolExecutor(4) as threads:
        taken = {future.result() for future in [threads.submit(take) for _ in range(4)]}
    assert len(taken) == 1


def test_a_robot_has_one_live_run(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    first, second = (shared_cluster.api.ask_and_hand_out(process, robot=robot.name) for _ in range(2))
    assert robot.begin().guid == first
    assert robot.beat(WORKING, first).json()["HasNewJob"] == 0
    for more in ({}, {"Status": WORKING}):
        answer = robot.consume(**more).json()
        assert answer["ConsumeJobErrorCode"] == NO_NEW_JOB and answer["Job"] == "null", more
    assert shared_cluster.api.job(first)["status"] == IN_PROGRESS
    assert shared_cluster.api.job(second)["status"] == PENDING
    robot.update(first, SUCCESS)
    assert robot.begin().guid == second


def test_a_robot_that_asks_as_ready_in_mid_job_has_lost_its_run(
    shared_cluster: Cluster, process: str
) -> None:
    robot = shared_cluster.new_robot()
    first, second = (shared_cluster.api.ask_and_hand_out(process, robot=robot.name) for _ in range(2))
    assert robot.begin().guid == first
    robot.consume(Status=READY)
    lost = shared_cluster.api.job(first)
    assert lost["status"] == FAILED and lost["reason"], lost
    late = robot.update(first, SUCCESS)
    assert (late.status_code, late.json()["status"]) == (409, FAILED)
    assert robot.take().guid == second


def test_the_higher_priority_comes_first_and_then_the_older(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    priorities = [0, 50, 100, 50, 0, 100]
    wishes = [{"process": process, "robot": robot.name, "priority": priority} for priority in priorities]
    made = shared_cluster.api.post("/jobs", wishes)["items"]
    for job in made:
        shared_cluster.api.until_status(job["guid"], PENDING)
    taken = []
    for _ in made:
        taken.append(robot.begin().guid)
        robot.update(taken[-1], SUCCESS)
    oldest_first = sorted(range(len(made)), key=lambda index: (-priorities[index], index))
    assert taken == [made[index]["guid"] for index in oldest_first]


def test_a_group_s_jobs_go_to_its_robots_each_to_one(shared_cluster: Cluster, process: str) -> None:
    group = f"group-{token_hex(4)}"
    robots = [shared_cluster.new_robot(group=group) for _ in range(8)]
    outsider = shared_cluster.new_robot()
    wishes = [{"process": process, "group": group} for _ in range(20)]
    made = {job["guid"] for job in shared_cluster.api.post("/jobs", wishes)["items"]}
    assert outsider.take_or_none() is None

    def work(index: int) -> list[str]:
        robot, done = robots[index], []
        while handed := robot.take_or_none():
            assert robot.update(handed.guid, IN_PROGRESS).status_code == 200
            assert robot.update(handed.guid, SUCCESS).status_code == 200
            done.append(handed.guid)
        return done

    taken: list[str] = []

    def all_taken() -> bool:
        with ThreadPoolExecutor(len(robots)) as threads:
            taken.extend(guid for done in threads.map(work, range(len(robots))) for guid in done)
        return len(taken) >= len(made)

    eventually(all_taken, "the group's robots took all jobs")
    assert sorted(taken) == sorted(made)


def test_a_job_of_a_robot_that_was_never_seen_is_pending(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    job = shared_cluster.api.ask(process, robot=robot.name)
    assert shared_cluster.api.until_status(job, PENDING)["robot"] == robot.name


def test_a_job_for_later_is_created_and_not_handed_out(shared_cluster: Cluster, process: str) -> None:
    robot = shared_cluster.new_robot()
    later = shared_cluster.api.ask(process, robot=robot.name, not_before=NEVER, priority=100)
    now = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    assert shared_cluster.api.job(later)["status"] == CREATED
    assert robot.begin().guid == now
    robot.update(now, SUCCESS)
    assert robot.take_or_none() is None


def test_a_paused_robot_gets_no_new_job_and_its_running_one_goes_on(
    shared_cluster: Cluster, process: str
) -> None:
    robot = shared_cluster.new_robot()
    running = shared_cluster.api.ask_and_hand_out(process, robot=robot.name)
    robot.begin()
    shared_cluster.api.post(f"/robots/{robot.name}/pause")
    waiting = shared_cluster.api.ask(process, robot=robot.name)
    assert robot.beat(WORKING, running).json()["HeartbeatErrorCode"] == 0
    assert robot.update(running, SUCCESS).status_code == 200
    assert robot.beat().json()["HasNewJob"] == 0
    assert robot.take_or_none() is None
    shared_cluster.api.post(f"/robots/{robot.name}/resume")
    eventually(lambda: robot.beat().json()["HasNewJob"] == 1, "a resumed robot is told of its job")
    assert robot.take().guid == waiting
