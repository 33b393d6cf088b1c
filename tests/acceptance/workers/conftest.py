"""One cluster for a whole worker process that nobody hurts, and nodes that a test may hurt."""

from collections.abc import Iterator

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.cluster.fixtures import NewCluster
from tests.acceptance.workers.office import Office


@pytest.fixture
def office(shared_cluster: Cluster) -> Iterator[Office]:
    office = Office(shared_cluster)
    yield office
    office.close()


@pytest.fixture
def own_office(new_cluster: NewCluster) -> Iterator[Office]:
    """A cluster whose server and broker the test may stop."""
    office = Office(new_cluster().start())
    yield office
    office.close()
