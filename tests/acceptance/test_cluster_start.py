"""Schedulers that may not start: each says in one sentence why, and leaves the others alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster, Settings, eventually
from tests.acceptance.cluster.fixtures import ONE_PROCESS, SHORT_TIMES
from tests.servers import Redis

REFUSED_WITHIN = 10.0


@pytest.fixture(scope="module")
def half_cluster(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two of which the first scheduler runs."""
    folder = tmp_path_factory.mktemp("half-cluster")
    with Redis(run_folder) as redis:
        url = f"sqlite:///{folder}/botswain.sqlite3"
        cluster = Cluster(folder, url, redis.url, SHORT_TIMES | ONE_PROCESS, size=2)
        try:
            cluster.migrate()
            cluster.start_api()
            cluster.start_scheduler(1)
            cluster.wait_until_up()
            yield cluster
        finally:
            cluster.close()


# One of each kind. All that a configuration can have wrong is in tests/unit/test_config.py, and all that
# schedulers cannot have beside each other in tests/integration/scheduler/test_joining.py.
REFUSALS: dict[str, tuple[int, Settings, str]] = {
    "a number that is taken": (1, {}, "SCHEDULER_CLUSTER_ID"),
    "a number above the size": (3, {}, "SCHEDULER_CLUSTER_ID"),
    "a shared working path by another name": (
        2,
        {"SCHEDULER_WORKING_PATH": "{taken}/../work-scheduler-1/"},
        "SCHEDULER_WORKING_PATH",
    ),
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


def test_a_scheduler_that_starts_before_its_database_waits_for_it(half_cluster: Cluster) -> None:
    """And ends in order when it is asked to meanwhile."""
    later = half_cluster.folder / "later"
    away = {"DATABASE_URL": f"sqlite:///{later}/botswain.sqlite3"}
    waiting, leaving = (
        half_cluster.scheduler(2, name, **away).start() for name in ("scheduler-waiting", "scheduler-leaving")
    )
    try:
        for part in (waiting, leaving):
            eventually(lambda part=part: "database_away" in part.output(), f"{part.name} waits")
        leaving.terminate()
        assert leaving.exit_status() == 0, leaving.output()
        later.symlink_to(half_cluster.folder, target_is_directory=True)
        eventually(lambda: "scheduler-2" in half_cluster.up(), "the scheduler has come in")
        waiting.terminate()
        assert waiting.exit_status() == 0, waiting.output()
    finally:
        waiting.kill()
        leaving.kill()
    assert waiting.output().count("database_away") == 1
    assert "Traceback" not in waiting.output()
