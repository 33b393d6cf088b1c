"""Clusters to take: one for a whole worker process that nobody hurts, and new ones to do everything to."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.acceptance.cluster.cluster import Cluster, Settings
from tests.conftest import private
from tests.servers import MariaDB, Redis
from tests.servers.databases import ServerDatabases

LONG_DRILLS = os.environ.get("BOTSWAIN_LONG_DRILLS") == "1"
# Shorter than production's so that a test sees a lease end, long enough for a machine of two busy cores.
SHORT_TIMES: Settings = {
    "BOTSWAIN_RUN_LEASE_SECONDS": "5",
    "BOTSWAIN_PARTITION_LEASE_SECONDS": "6",
    "BOTSWAIN_ABORT_GRACE_SECONDS": "2",
    "BOTSWAIN_HEARTBEAT_SECONDS": "1",
}
# Each process of the API takes more than a second of processor to start. The shared cluster has two, as
# production has; the new ones, of which there are dozens, have one each.
ONE_PROCESS: Settings = {"BOTSWAIN_API_PROCESSES": "1"}


class NewCluster(Protocol):
    """A cluster that is not started yet, with a Redis of its own, on SQLite or on the URL given."""

    def __call__(self, database_url: str = "", size: int = 1, **settings: str) -> Cluster: ...


@pytest.fixture(scope="session")
def session_cluster(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """What `shared_cluster` gives out."""
    folder = tmp_path_factory.mktemp("shared-cluster")
    with Redis(run_folder, append_only=True) as redis:
        cluster = Cluster(folder, f"sqlite:///{folder}/botswain.sqlite3", redis.url, SHORT_TIMES)
        try:
            yield cluster.start()
        finally:
            cluster.close()


@pytest.fixture(scope="session")
def process(session_cluster: Cluster) -> str:
    """A process with one version in the shared cluster."""
    return session_cluster.api.publish("invoices")


@pytest.fixture
def shared_cluster(session_cluster: Cluster) -> Iterator[Cluster]:
    """API and one scheduler on SQLite with short times, for all tests of a worker process; hurt it not.

    A test fails when something went wrong behind the answers that it saw, too.
    """
    before = len(session_cluster.mistakes())
    yield session_cluster
    mistakes = session_cluster.mistakes()[before:]
    assert not mistakes, "\n".join(mistakes)


@pytest.fixture
def redis_server(run_folder: Path) -> Iterator[Redis]:
    """A Redis of this test alone, durable as production's; hurt it at will."""
    yield from private(lambda: Redis(run_folder, append_only=True))


@pytest.fixture
def mariadb_server(run_folder: Path) -> Iterator[MariaDB]:
    """A MariaDB of this test alone; hurt it at will."""
    yield from private(lambda: MariaDB(run_folder))


@pytest.fixture
def mariadb_database(mariadb_url: str) -> Iterator[str]:
    """An empty database on the run's MariaDB."""
    databases = ServerDatabases(mariadb_url)
    yield databases.empty()
    databases.close()


@pytest.fixture
def new_cluster(redis_server: Redis, tmp_path: Path) -> Iterator[NewCluster]:
    """Makes clusters, all on the test's one Redis, and ends them."""
    made: list[Cluster] = []

    def make(database_url: str = "", size: int = 1, **settings: str) -> Cluster:
        folder = tmp_path / f"cluster-{len(made)}"
        folder.mkdir()
        url = database_url or f"sqlite:///{folder}/botswain.sqlite3"
        made.append(Cluster(folder, url, redis_server.url, {**SHORT_TIMES, **ONE_PROCESS, **settings}, size))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
