"""Redis dies, stays away, comes back empty, and restarts in the middle of everything."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cluster import Cluster, Robot, eventually
from tests.acceptance.cluster.celery_command import answering
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.cluster.robot import IN_PROGRESS, SUCCESS, WORKING
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, histories, until_ended
from tests.acceptance.drills.person import Person
from tests.conftest import private
from tests.deadlines import within
from tests.servers import Redis

A_FEW_SECONDS = 15.0  # the sweep is each second; the rest is for a busy machine
PATIENT: Any = {"BOTSWAIN_RUN_LEASE_SECONDS": "60"}


@pytest.fixture
def forgetful_redis(run_folder: Path) -> Iterator[Redis]:
    """One that has lost everything when it comes back."""
    yield from private(lambda: Redis(run_folder))


def do_one_job(cluster: Cluster, process: str, robot: Robot) -> None:
    """A job's whole life, a few seconds from creation to the end."""
    job = cluster.api.ask(process, robot=robot.name)
    eventually(lambda: robot.beat().json().get("HasNewJob") == 1, "the robot is told of it", A_FEW_SECONDS)
    assert robot.take().guid == job
    assert robot.update(job, IN_PROGRESS).status_code == 200
    assert robot.beat(WORKING, job).json()["HeartbeatErrorCode"] == 0
    assert robot.update(job, SUCCESS).status_code == 200
    assert cluster.api.job(job)["status"] == SUCCESS


@pytest.mark.timeout(200)
def test_jobs_go_on_while_redis_is_away_and_when_it_is_empty(
    new_cluster: NewCluster, forgetful_redis: Redis
) -> None:
    cluster = new_cluster(**PATIENT)
    cluster.redis_url = forgetful_redis.url
    cluster.start()
    process = cluster.api.publish("invoices")
    robot, running = cluster.new_robot(), cluster.new_robot()
    do_one_job(cluster, process, robot)
    kept = cluster.api.ask_and_hand_out(process, robot=running.name)
    running.begin()
    assert running.order(kept) == 0
    waiting = cluster.api.ask_and_hand_out(process, robot=robot.name)

    forgetful_redis.kill()
    assert running.order(kept) == 0
    assert robot.begin().guid == waiting
    assert robot.update(waiting, SUCCESS).status_code == 200
    for _ in range(2):
        do_one_job(cluster, process, robot)

    told = cluster.api.ask_and_hand_out(process, robot=robot.name)
    forgetful_redis.start()
    eventually(lambda: robot.beat().json()["HasNewJob"] == 1, "the flag is there again", A_FEW_SECONDS)
    assert robot.begin().guid == told
    assert robot.update(told, SUCCESS).status_code == 200
    do_one_job(cluster, process, robot)
    assert running.order(kept) == 0
    assert running.update(kept, SUCCESS).status_code == 200
    eventually(lambda: answering(cluster) == {"scheduler-1"}, "the scheduler answers Celery again")
    assert cluster.parts["scheduler-1"].runs


@pytest.mark.timeout(300)
def test_the_broker_restarts_while_schedulers_and_a_worker_are_busy(
    mariadb_database: str, new_cluster: NewCluster, redis_server: Redis
) -> None:
    cluster = new_cluster(mariadb_database, 2, **PATIENT).start()
    worker = cluster.start_worker("node-a")
    process = cluster.api.publish("invoices")
    person = Person(cluster, process)
    pids = {name: part.pid for name, part in cluster.parts.items()}

    task = cluster.api.post("/tasks", {"activity": "botswain.sleep", "arguments": {"seconds": 6}})["id"]
    eventually(lambda: cluster.api.get(f"/tasks/{task}")["state"] == "running", "the worker is in mid-task")
    with Fleet([cluster.new_robot() for _ in range(4)]) as fleet:
        with person.asking():
            fleet.until_runs(10)
            for _ in range(3):
                redis_server.restart()
                done = len(fleet.runs)
                fleet.until_runs(done + 5)
        until_ended(cluster, person.jobs, 120)
    later = cluster.api.post("/tasks", {"activity": "botswain.echo", "arguments": {"text": "hello"}})["id"]

    def succeeded() -> bool:
        return all(cluster.api.get(f"/tasks/{one}")["state"] == "succeeded" for one in (task, later))

    eventually(succeeded, "the task in hand and a later one have succeeded", 60)
    assert cluster.api.get(f"/tasks/{task}")["attempt"] == 1
    assert worker.runs
    assert {name: part.pid for name, part in cluster.parts.items() if part.runs} == pids
    assert fleet.complaints == []
    assert breaches(histories(cluster, person.jobs)) == []
    eventually(
        lambda: answering(cluster) >= {"scheduler-1", "scheduler-2"}, "the nodes answer Celery's ping again"
    )


@pytest.mark.timeout(200)
def test_a_redis_that_hangs_delays_nobody_for_long(new_cluster: NewCluster, redis_server: Redis) -> None:
    """Its connections stay open and nothing answers: worse than one that refuses."""
    cluster = new_cluster(**PATIENT).start()
    process = cluster.api.publish("invoices")
    robot = cluster.new_robot()
    do_one_job(cluster, process, robot)
    redis_server.pause()
    try:
        do_one_job(cluster, process, robot)
        with within(5):
            job = cluster.api.ask(process, robot=robot.name)
        with within(5):
            assert robot.beat().status_code == 200
    finally:
        redis_server.resume()
    eventually(lambda: robot.beat().json()["HasNewJob"] == 1, "the robot is told of it", A_FEW_SECONDS)
    assert robot.begin().guid == job
