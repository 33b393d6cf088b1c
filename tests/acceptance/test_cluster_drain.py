"""Schedulers that leave in order, and what Celery's own tools see of them."""

import os
import signal
import time

import pytest

from tests.acceptance.cluster import Cluster, Part, eventually
from tests.acceptance.cluster.celery_command import answering, celery
from tests.acceptance.cluster.cluster import BOTSWAIN
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, histories, until_ended


@pytest.mark.timeout(300)
def test_schedulers_leave_under_load_and_nothing_waits_for_them(new_cluster: NewCluster) -> None:
    """By SIGTERM, over HTTP and by Celery's remote control, one after another; the last one works on."""
    cluster = new_cluster(size=4).start()
    process = cluster.api.publish("invoices")
    eventually(
        lambda: answering(cluster) >= {f"scheduler-{number}" for number in range(1, 5)},
        "all schedulers answer Celery's ping",
    )
    jobs: list[str] = []

    def more_work() -> None:
        jobs.extend(job["guid"] for job in cluster.api.post("/jobs", [{"process": process}] * 40)["items"])

    with Fleet([cluster.new_robot() for _ in range(4)]) as fleet:
        more_work()
        cluster.parts["scheduler-4"].terminate()
        assert cluster.parts["scheduler-4"].exit_status() == 0
        more_work()
        said = drained_by_command(cluster, "scheduler-3")
        assert "scheduler-3 is draining: it has" in said and "scheduler-3 has left" in said
        assert cluster.parts["scheduler-3"].exit_status() == 0
        more_work()
        host = cluster.api.nodes()["scheduler-2"]["host"]
        # Nobody answers an order to end; Celery's command reports that by a status of its own.
        celery(cluster, "control", "--destination", f"scheduler-2@{host}", "shutdown", wanted=(0, 69))
        assert cluster.parts["scheduler-2"].exit_status() == 0
        more_work()
        until_ended(cluster, jobs, 120)
        owned = cluster.api.nodes()["scheduler-1"]["partitions"]
        assert sorted(owned) == list(range(64))

    assert cluster.up() == {"scheduler-1"}
    assert fleet.complaints == []
    kept = histories(cluster, jobs)
    assert breaches(kept) == []
    assert {entries[-1]["status"] for entries in kept.values()} == {SUCCESS}
    assert not cluster.mistakes(), "\n".join(cluster.mistakes())


def drained_by_command(cluster: Cluster, node: str) -> str:
    """What `botswain cluster drain` says until the node has left."""
    environment = cluster.environment(BOTSWAIN_SERVER=cluster.url, BOTSWAIN_TOKEN=cluster.token)
    part = Part(f"drain-{node}", [BOTSWAIN, "cluster", "drain", node], environment, cluster.folder).start()
    assert part.exit_status() == 0, part.tail()
    return part.output()


@pytest.mark.timeout(120)
def test_a_drained_scheduler_s_partitions_are_adopted_before_its_lease_ends(new_cluster: NewCluster) -> None:
    """With a lease of minutes only giving back can explain that another has them at once."""
    cluster = new_cluster(size=2, BOTSWAIN_PARTITION_LEASE_SECONDS="300").start()
    eventually(lambda: len(cluster.api.nodes()["scheduler-2"]["partitions"]) == 32, "half the partitions")
    part = cluster.parts["scheduler-2"]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):  # somebody has no patience
        if part.runs:
            os.kill(part.pid, number)
        time.sleep(0.05)
    assert part.exit_status() == 0
    assert "scheduler_ended" in part.output()
    eventually(
        lambda: len(cluster.api.nodes()["scheduler-1"]["partitions"]) == 64, "the other has them all", 60
    )


def test_an_unknown_scheduler_cannot_be_drained(shared_cluster: Cluster) -> None:
    with pytest.raises(AssertionError, match="404"):
        shared_cluster.api.post("/cluster/scheduler-77/drain")
    assert shared_cluster.up() == {"scheduler-1"}
