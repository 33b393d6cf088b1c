"""Clusters for the acceptance tests; a failure shows the ends of their parts' logs."""

from collections.abc import Generator

import pytest

from tests.acceptance.cluster.cluster import Cluster
from tests.acceptance.cluster.fixtures import (
    mariadb_database,
    mariadb_server,
    new_cluster,
    process,
    redis_server,
    session_cluster,
    shared_cluster,
)

__all__ = [
    "mariadb_database",
    "mariadb_server",
    "new_cluster",
    "process",
    "redis_server",
    "session_cluster",
    "shared_cluster",
]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for cluster in Cluster.living:
            for name, tail in cluster.logs().items():
                report.sections.append((f"log of {name}", tail))
    return report
