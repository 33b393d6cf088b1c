"""A cluster goes from this version to the next, and a node of it back, while people and robots work on."""

from collections import Counter
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from orchestrator import __version__
from tests.acceptance.cluster import Cluster, Part, Replicas, eventually
from tests.acceptance.cluster.cluster import BOTSWAIN
from tests.acceptance.cluster.fixtures import LONG_DRILLS, NewCluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, every_history, until_ended
from tests.acceptance.drills.person import Person
from tests.acceptance.drills.versions import COLUMN, NEW, NEXT_VERSION, OLD, PROJECT, next_version
from tests.servers.ports import free_port

RUNS = 40 if LONG_DRILLS else 3  # at least, between two steps
ROUNDS = 5 if LONG_DRILLS else 1
PATIENT = {
    "BOTSWAIN_RUN_LEASE_SECONDS": "60",
    "BOTSWAIN_PARTITION_LEASE_SECONDS": "30",
    "BOTSWAIN_API_PROCESSES": "1",
}


class Upgrade:
    """A cluster of which each node can be of either version; the steps leave it working."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.sources = {__version__: PROJECT, NEXT_VERSION: next_version(folder)}
        ports = [cluster.port, free_port()]
        self.replicas = cluster.transport = Replicas(ports)
        cluster.settings["PYTHONPATH"] = str(PROJECT)
        cluster.migrate()
        cluster.start_api()
        cluster.start_api("api-2", BOTSWAIN_PORT=str(ports[1]))
        for number in (1, 2):
            cluster.start_scheduler(number)
        cluster.wait_until_up()

    def migrate(self, version: str) -> str:
        """By the command of that version; what it says."""
        environment = self.cluster.environment(PYTHONPATH=str(self.sources[version]))
        part = Part(f"migrate-{version}", [BOTSWAIN, "migrate"], environment, self.cluster.folder).start()
        assert part.exit_status(60) == 0, part.tail()
        return part.output()

    def restart(self, name: str, version: str) -> None:
        """End the node in order, start it in that version, and wait until it serves."""
        part = self.cluster.parts[name]
        part.terminate()
        assert part.exit_status() == 0, part.tail()
        part.environment["PYTHONPATH"] = str(self.sources[version])
        part.start()
        if name.startswith("scheduler"):
            eventually(lambda: self.shown().get(name) == version, f"{name} is of version {version}", 60)
        else:
            address = f"http://127.0.0.1:{part.environment['BOTSWAIN_PORT']}/readyz"
            eventually(lambda: serves(address), f"{name} serves", 60)

    def shown(self) -> dict[str, str]:
        nodes = self.cluster.api.nodes().values()
        return {node["name"]: node["version"] for node in nodes if node["state"] == "up"}


@pytest.mark.timeout(900 if LONG_DRILLS else 400)
def test_nodes_of_two_versions_work_side_by_side(
    mariadb_database: str, new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(mariadb_database, 2, **PATIENT)
    upgrade = Upgrade(cluster, tmp_path / "next")
    assert set(upgrade.shown().values()) == {__version__}
    person = Person(cluster, cluster.api.publish("invoices"))

    with Fleet([cluster.new_robot() for _ in range(3)]) as fleet:

        def work_goes_on() -> None:
            fleet.until_runs(len(fleet.runs) + RUNS)

        with person.asking():
            work_goes_on()
            assert "was upgraded" in upgrade.migrate(NEXT_VERSION)
            assert "works with it" in upgrade.migrate(__version__)
            for _ in range(ROUNDS):
                for name in ("scheduler-1", "api", "scheduler-2", "api-2"):
                    work_goes_on()
                    upgrade.restart(name, NEXT_VERSION)
                work_goes_on()
                for name in ("scheduler-2", "api-2", "scheduler-1", "api")[: 4 if LONG_DRILLS else 1]:
                    upgrade.restart(name, __version__)  # somebody has second thoughts
                    assert __version__ in upgrade.shown().values()
                work_goes_on()
        until_ended(cluster, person.jobs, 120)

    assert upgrade.replicas.failed == [], f"{upgrade.replicas.retries} retries"
    assert (fleet.complaints, person.complaints) == ([], [])
    kept = every_history(cluster)
    assert set(person.jobs) <= set(kept)
    assert breaches(kept) == []
    assert fleet.runs_at_once() == []
    assert {entries[-1]["status"] for entries in kept.values()} == {SUCCESS}
    assert set(written_by(mariadb_database)) == {OLD, NEW}
    assert not cluster.mistakes(), "\n".join(cluster.mistakes())


def serves(address: str) -> bool:
    try:
        return httpx.get(address, timeout=5, verify=False).status_code == 200
    except httpx.TransportError:
        return False


def written_by(url: str) -> Counter[str]:
    """How many jobs each version has written."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT {COLUMN} FROM jobs")).scalars().all()
    engine.dispose()
    return Counter(found)
