"""Power cuts: of the whole cluster, and of one scheduler of three."""

import os
import signal
import time
from typing import Any

import pytest

from tests.acceptance.cluster import Cluster, eventually
from tests.acceptance.cluster.fixtures import LONG_DRILLS, SHORT_TIMES, NewCluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, histories, until_ended
from tests.acceptance.drills.person import Person
from tests.deadlines import STARVED
from tests.servers import Redis

PARTITIONS = set(range(64))
LEASE = float(SHORT_TIMES["BOTSWAIN_PARTITION_LEASE_SECONDS"])
MARGIN = 5.0 * STARVED
POWER_CUTS = 5 if LONG_DRILLS else 1
# Longer than the power cut, so that the robots, who lived through it, find their runs as they left them.
PATIENT_ROBOTS: Any = {"BOTSWAIN_RUN_LEASE_SECONDS": "90"}


@pytest.mark.timeout(600)
def test_the_whole_cluster_is_cut_off_and_nothing_is_lost_or_run_twice(
    mariadb_database: str, new_cluster: NewCluster, redis_server: Redis
) -> None:
    cluster = new_cluster(mariadb_database, 3, **PATIENT_ROBOTS).start()
    person = Person(cluster, cluster.api.publish("invoices"))
    with Fleet([cluster.new_robot() for _ in range(8)], run_seconds=0.2) as fleet:
        with person.asking():
            for _ in range(POWER_CUTS):
                fleet.until_runs(len(fleet.runs) + 20)
                cluster.kill()
                redis_server.kill()
                redis_server.start()
                cluster.restart()
            person.until_asked(len(person.jobs) + 20)
        until_ended(cluster, person.jobs, 200)

    assert person.failures
    assert {job["guid"] for job in cluster.api.every("/jobs")} == set(person.jobs)
    assert fleet.complaints == []
    assert fleet.runs_at_once() == []
    kept = histories(cluster, person.jobs)
    assert breaches(kept) == []
    assert {entries[-1]["status"] for entries in kept.values()} == {SUCCESS}


@pytest.mark.timeout(300)
def test_the_partitions_of_a_dead_scheduler_are_adopted_and_given_back(
    mariadb_database: str, new_cluster: NewCluster
) -> None:
    cluster = new_cluster(mariadb_database, 3, **PATIENT_ROBOTS).start()
    process = cluster.api.publish("invoices")
    home = eventually(lambda: shares(cluster, 3), "three schedulers share the partitions")

    with Fleet([cluster.new_robot() for _ in range(4)]) as fleet:
        before = [job["guid"] for job in cluster.api.post("/jobs", [{"process": process}] * 100)["items"]]
        cluster.parts["scheduler-2"].kill()
        died = time.monotonic()
        after = [job["guid"] for job in cluster.api.post("/jobs", [{"process": process}] * 50)["items"]]
        eventually(lambda: shares(cluster, 2), "two schedulers have all partitions")
        assert time.monotonic() - died < LEASE + MARGIN
        assert cluster.api.nodes()["scheduler-2"]["state"] == "lost"
        until_ended(cluster, before + after, 200)
        cluster.parts["scheduler-2"].start()
        eventually(lambda: shares(cluster, 3) == home, "the share is given back to who has returned")
        again = [job["guid"] for job in cluster.api.post("/jobs", [{"process": process}] * 50)["items"]]
        until_ended(cluster, again, 200)

    jobs = before + after + again
    assert fleet.complaints == []
    assert sorted(run.job for run in fleet.runs) == sorted(jobs)
    assert breaches(histories(cluster, jobs)) == []


@pytest.mark.timeout(300)
def test_a_master_that_slept_is_not_master_when_it_wakes(
    mariadb_database: str, new_cluster: NewCluster
) -> None:
    """SIGSTOP for longer than the lease, and SIGCONT: a pause of a virtual machine, under load."""
    cluster = new_cluster(mariadb_database, 2, **PATIENT_ROBOTS).start()
    person = Person(cluster, cluster.api.publish("invoices"))
    before = eventually(lambda: master(cluster), "there is a master")
    sleeper = cluster.parts[before["node"]]
    with Fleet([cluster.new_robot() for _ in range(4)]) as fleet:
        with person.asking():
            fleet.until_runs(10)
            os.kill(sleeper.pid, signal.SIGSTOP)
            try:
                after = eventually(lambda: master_but(cluster, before["node"]), "another is master")
                eventually(lambda: shares(cluster, 1), "the other has all partitions")
                fleet.until_runs(len(fleet.runs) + 10)
            finally:
                os.kill(sleeper.pid, signal.SIGCONT)
            eventually(lambda: shares(cluster, 2), "the sleeper has its share again")
            fleet.until_runs(len(fleet.runs) + 10)
        until_ended(cluster, person.jobs, 120)

    assert after["term"] > before["term"]
    masters = [name for name, node in cluster.api.nodes().items() if node["is_master"]]
    assert masters == [master(cluster)["node"]]
    assert sleeper.runs
    assert fleet.complaints == []
    assert sorted(run.job for run in fleet.runs) == sorted(person.jobs)
    assert breaches(histories(cluster, person.jobs)) == []


def master(cluster: Cluster) -> Any:
    return cluster.api.get("/cluster")["master"]


def master_but(cluster: Cluster, node: str) -> Any:
    """The master when it is another than `node`; between two terms there is none."""
    now = master(cluster)
    return now if now and now["node"] != node else None


def shares(cluster: Cluster, members: int) -> dict[str, list[int]] | None:
    """Who has which partitions, when `members` that are up have all of them, each one once."""
    up = {name: node["partitions"] for name, node in cluster.api.nodes().items() if node["state"] == "up"}
    owned = sorted(partition for partitions in up.values() for partition in partitions)
    whole = owned == sorted(PARTITIONS) and len(up) == members and all(up.values())
    return {name: sorted(partitions) for name, partitions in up.items()} if whole else None
