"""A robot that dies at each point of its loop and comes back, and one that does not."""

from secrets import token_hex

import pytest

from tests.acceptance.cluster import Cluster, Handed, Robot, eventually
from tests.acceptance.cluster.robot import FAILED, IN_PROGRESS, SUCCESS
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import histories

PENDING = 1


class Life:
    """One robot and its job; `again()` is the same robot after it was started anew."""

    def __init__(self, cluster: Cluster, process: str) -> None:
        self.cluster = cluster
        self.robot = cluster.new_robot()
        self.job = cluster.api.ask_and_hand_out(process, robot=self.robot.name)
        assert self.robot.beat().json()["HasNewJob"] == 1

    def again(self) -> Robot:
        self.robot.close()
        self.robot = Robot(self.cluster.url, self.robot.guid, name=self.robot.name)
        return self.robot

    def starts_over(self) -> Handed:
        """What a robot does first: it would log off for good unless it is told that there is a job."""
        robot = self.again()
        assert robot.beat().json()["HasNewJob"] == 1
        return robot.begin()

    def ends(self) -> None:
        assert self.robot.update(self.job, SUCCESS).status_code == 200
        assert self.cluster.api.job(self.job)["status"] == SUCCESS

    def judge(self) -> None:
        assert breaches(histories(self.cluster, [self.job])) == []
        assert self.robot.beat().json() == {"HeartbeatErrorCode": 0, "ErrorText": "", "HasNewJob": 0}


@pytest.fixture
def life(shared_cluster: Cluster, process: str) -> Life:
    return Life(shared_cluster, process)


def test_before_it_consumes(life: Life) -> None:
    assert life.starts_over().guid == life.job
    life.ends()
    life.judge()


def test_after_it_consumed_and_before_it_said_so(life: Life) -> None:
    life.robot.take()
    handed = life.starts_over()
    assert (handed.guid, handed.job["Attempt"]) == (life.job, 1)
    life.ends()
    life.judge()


def test_after_it_said_that_the_job_runs_and_the_answer_was_lost(life: Life) -> None:
    life.robot.begin()
    assert life.robot.update(life.job, IN_PROGRESS).status_code == 200
    life.ends()
    life.judge()


@pytest.mark.parametrize("beats", [0, 1])
def test_in_the_run(life: Life, beats: int) -> None:
    """It comes back as Ready, and that says that the run is lost, before any lease has ended."""
    life.robot.begin()
    for _ in range(beats):
        assert life.robot.order(life.job) == 0
    assert life.again().beat().json()["HasNewJob"] == 0
    lost = life.cluster.api.job(life.job)
    assert lost["status"] == FAILED and lost["reason"]
    life.judge()


def test_before_its_last_update_with_the_result_kept(life: Life) -> None:
    """A robot that delivers what it kept before it says Ready has lost nothing."""
    life.robot.begin()
    life.again()
    life.ends()
    life.judge()


def test_after_its_last_update_and_the_answer_was_lost(life: Life) -> None:
    life.robot.begin()
    life.ends()
    life.again()
    life.ends()
    life.judge()
    assert life.cluster.api.job(life.job)["status"] == SUCCESS


def test_in_the_run_and_never_comes_back(life: Life) -> None:
    life.robot.begin()
    assert life.robot.order(life.job) == 0
    assert life.cluster.api.until_status(life.job, FAILED)["reason"]
    life.judge()


def test_after_it_consumed_and_never_comes_back(shared_cluster: Cluster, process: str) -> None:
    """Nothing ran, so the job of a group is for another robot, and that is its first attempt yet."""
    group = f"group-{token_hex(4)}"
    dead = shared_cluster.new_robot(group=group)
    job = shared_cluster.api.ask_and_hand_out(process, group=group)
    assert dead.take().guid == job
    other = shared_cluster.new_robot(group=group)
    eventually(lambda: other.beat().json()["HasNewJob"] == 1, "another robot is told of the job", every=0.5)
    assert other.begin().guid == job
    assert dead.update(job, IN_PROGRESS).status_code in (404, 409)
    assert other.update(job, SUCCESS).status_code == 200
    assert breaches(histories(shared_cluster, [job])) == []
