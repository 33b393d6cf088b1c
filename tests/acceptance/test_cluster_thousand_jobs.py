"""A thousand jobs, twenty robots, three schedulers, MariaDB."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, histories, until_ended

JOBS, ROBOTS, SCHEDULERS = 1000, 20, 3


def ask_for(cluster: Cluster, process: str, jobs: int, at_once: int = 25) -> list[str]:
    """So many jobs for anybody, asked for by several people at once."""
    wishes = [{"process": process} for _ in range(at_once)]
    with ThreadPoolExecutor(4) as people:
        asked = [people.submit(cluster.api.post, "/jobs", wishes) for _ in range(jobs // at_once)]
        return [job["guid"] for answer in asked for job in answer.result()["items"]]


@pytest.mark.timeout(300)
def test_every_job_runs_once_and_each_partition_keeps_its_order(
    mariadb_database: str, new_cluster: NewCluster
) -> None:
    cluster = new_cluster(mariadb_database, SCHEDULERS).start()
    process = cluster.api.publish("invoices")
    with Fleet([cluster.new_robot() for _ in range(ROBOTS)]) as fleet:
        jobs = ask_for(cluster, process, JOBS)
        until_ended(cluster, jobs, 240)

    assert len(set(jobs)) == JOBS
    assert fleet.complaints == []
    assert not cluster.mistakes(), "\n".join(cluster.mistakes())
    assert sorted(run.job for run in fleet.runs) == sorted(jobs)
    assert fleet.runs_at_once() == []
    kept = histories(cluster, jobs)
    assert breaches(kept) == []
    assert {entries[-1]["status"] for entries in kept.values()} == {SUCCESS}
    handed_out = Counter(
        entry["actor"] for entries in kept.values() for entry in entries if entry["event"] == "dispatch"
    )
    assert len(handed_out) == SCHEDULERS, handed_out
    assert len({entry["partition"] for entries in kept.values() for entry in entries[:1]}) > SCHEDULERS
