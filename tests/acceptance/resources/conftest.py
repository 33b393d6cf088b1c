"""A person, a run of one robot and a run of another, on the shared cluster; every test has its own queue."""

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.resources.actors import Person, Run, new_queue


@pytest.fixture(scope="session")
def person(session_cluster: Cluster) -> Person:
    return Person(session_cluster)


@pytest.fixture(scope="session")
def _lives(session_cluster: Cluster, process: str) -> dict[str, Run]:
    return {name: Run(session_cluster, process, session_cluster.new_robot()) for name in ("one", "other")}


@pytest.fixture
def one(_lives: dict[str, Run]) -> Run:
    """A run that no test ends."""
    return _lives["one"]


@pytest.fixture
def other(_lives: dict[str, Run]) -> Run:
    """A run of another robot, that no test ends."""
    return _lives["other"]


@pytest.fixture
def mortal(shared_cluster: Cluster, process: str) -> Run:
    """A run of a third robot, to end."""
    return Run(shared_cluster, process, shared_cluster.new_robot())


@pytest.fixture
def queue(person: Person) -> str:
    return new_queue(person)
