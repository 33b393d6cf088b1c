"""Schedulers that nobody has numbered come and go while the cluster works."""

import time
from typing import Any

import pytest

from tests.acceptance.cluster import Cluster, Part, eventually
from tests.acceptance.cluster.celery_command import answering
from tests.acceptance.cluster.fixtures import SHORT_TIMES, NewCluster
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, histories, until_ended
from tests.deadlines import STARVED

LEASE = float(SHORT_TIMES["BOTSWAIN_PARTITION_LEASE_SECONDS"])
MARGIN = 5.0 * STARVED
START_SECONDS = 90.0  # two that start at once on a busy machine


@pytest.mark.timeout(300)
def test_schedulers_come_and_go_by_number_on_lease_and_the_designated_one_is_master(
    mariadb_database: str, new_cluster: NewCluster
) -> None:
    cluster = new_cluster(mariadb_database)
    cluster.migrate()
    cluster.start_api()
    cluster.wait_until_served()
    first = start(cluster, "first")
    eventually(lambda: shares(cluster) == [64], "one has all", START_SECONDS)
    process = cluster.api.publish("invoices")
    jobs: list[str] = []

    def more_work() -> None:
        jobs.extend(job["guid"] for job in cluster.api.post("/jobs", [{"process": process}] * 25)["items"])

    with Fleet([cluster.new_robot() for _ in range(4)]) as fleet:
        more_work()
        designated, third = start(cluster, "second", SCHEDULER_MASTER="1"), start(cluster, "third")
        eventually(lambda: shares(cluster) == [21, 21, 22], "three share", START_SECONDS)
        eventually(lambda: master(cluster)["pid"] == designated.pid, "the designated one is master")
        assert cluster.api.get("/cluster")["size"] == 3
        eventually(
            lambda: answering(cluster) >= {"scheduler-1", "scheduler-2", "scheduler-3"}, "Celery's ping"
        )
        more_work()
        designated.kill()
        died = time.monotonic()
        more_work()
        eventually(lambda: shares(cluster) == [32, 32], "two share")
        assert time.monotonic() - died < LEASE + MARGIN
        eventually(lambda: master(cluster)["pid"] in (first.pid, third.pid), "another is master")
        designated.start()
        eventually(lambda: shares(cluster) == [21, 21, 22], "three share again", START_SECONDS)
        eventually(lambda: master(cluster)["pid"] == designated.pid, "the designated one is master again")
        third.terminate()
        assert third.exit_status() == 0
        more_work()
        until_ended(cluster, jobs, 120)

    assert fleet.complaints == []
    assert sorted(run.job for run in fleet.runs) == sorted(jobs)
    assert breaches(histories(cluster, jobs)) == []
    assert not cluster.mistakes(), "\n".join(cluster.mistakes())


def start(cluster: Cluster, name: str, **settings: str) -> Part:
    """A scheduler known here as `name`. It is given its number, and a folder below a common one."""
    folder = str(cluster.folder / "work")
    own = {"SCHEDULER_CLUSTER_ID": "auto", "SCHEDULER_WORKING_PATH": folder, **settings}
    return cluster.start_scheduler(1, name, **own)


def shares(cluster: Cluster) -> list[int]:
    """How many partitions each living scheduler has, the smallest share first."""
    return sorted(len(node["partitions"]) for node in cluster.api.nodes().values() if node["state"] == "up")


def master(cluster: Cluster) -> Any:
    """The node that is master; one that nobody is, while there is none."""
    return next((node for node in cluster.api.nodes().values() if node["is_master"]), {"pid": 0})
