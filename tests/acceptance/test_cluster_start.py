"""Schedulers that may not start: each says in one sentence why, and leaves the others alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster, Settings, eventually
from tests.acceptance.cluster.fixtures import SHORT_TIMES
from tests.servers import Redis

REFUSED_WITHIN = 10.0


@pytest.fixture(scope="module")
def half_cluster(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two of which the first scheduler runs."""
    folder = tmp_path_factory.mktemp("half-cluster")
    with Redis(run_folder) as redis:
        cluster = Cluster(folder, f"sqlite:///{folder}/botswain.sqlite3", redis.url, SHORT_TIMES, size=2)
        try:
            cluster.migrate()
            cluster.start_api()
            cluster.start_scheduler(1)
            cluster.wait_until_up()
            yield cluster
        finally:
            cluster.close()


REFUSALS: dict[str, tuple[int, Settings, str]] = {
    "a number that is taken": (1, {}, "SCHEDULER_CLUSTER_ID"),
    "a number above the size": (3, {}, "SCHEDULER_CLUSTER_ID"),
    "number 0": (0, {}, "SCHEDULER_CLUSTER_ID"),
    "no number": (2, {"SCHEDULER_CLUSTER_ID": "two"}, "SCHEDULER_CLUSTER_ID"),
    "another size": (2, {"SCHEDULER_CLUSTER_SIZE": "3"}, "SCHEDULER_CLUSTER_SIZE"),
    "a size of 0": (2, {"SCHEDULER_CLUSTER_SIZE": "0"}, "SCHEDULER_CLUSTER_SIZE"),
    "a shared working path": (2, {"SCHEDULER_WORKING_PATH": "{taken}"}, "SCHEDULER_WORKING_PATH"),
    "a shared working path by another name": (
        2,
        {"SCHEDULER_WORKING_PATH": "{taken}/../work-scheduler-1/"},
        "SCHEDULER_WORKING_PATH",
    ),
    "a number on lease beside numbers": (2, {"SCHEDULER_CLUSTER_ID": "auto"}, "SCHEDULER_CLUSTER_ID"),
    "no threads": (2, {"SCHEDULER_THREADS": "0"}, "SCHEDULER_THREADS"),
    "no secret key": (2, {"BOTSWAIN_SECRET_KEY": ""}, "BOTSWAIN_SECRET_KEY"),
}


@pytest.mark.parametrize("mistake", REFUSALS)
def test_a_scheduler_that_may_not_start_says_why(half_cluster: Cluster, mistake: str) -> None:
    number, settings, setting = REFUSALS[mistake]
    taken = str(half_cluster.folder / "work-scheduler-1")
    settings = {name: value.replace("{taken}", taken) for name, value in settings.items()}
    before = half_cluster.api.nodes()["scheduler-1"]

    part = half_cluster.scheduler(number, f"second-{mistake.replace(' ', '-')}", **settings).start()
    try:
        status = part.exit_status(REFUSED_WITHIN * 4)  # the machine may be busy with others
    finally:
        part.kill()
    assert status not in (0, None), part.output()
    said = part.output()
    assert setting in said, said
    assert "Traceback" not in said
    after = half_cluster.api.nodes()["scheduler-1"]
    assert (after["state"], after["pid"]) == ("up", before["pid"])
    assert set(half_cluster.up()) == {"scheduler-1"}


def test_a_scheduler_that_was_killed_takes_its_number_again(half_cluster: Cluster) -> None:
    part = half_cluster.parts["scheduler-1"]
    part.kill()
    part.start()

    def back() -> bool:
        node = half_cluster.api.nodes()["scheduler-1"]
        return node["state"] == "up" and node["pid"] == part.pid and len(node["partitions"]) == 64

    eventually(back, "the restarted scheduler is up, with all partitions")
