"""MariaDB is stopped under load: refusals that say when to come again, and then on, by itself."""

import os
import time

import httpx
import pytest

from tests.acceptance.cluster import Cluster, Robot
from tests.acceptance.cluster.fixtures import LONG_DRILLS, NewCluster
from tests.acceptance.cluster.robot import SUCCESS
from tests.acceptance.drills.checker import breaches
from tests.acceptance.drills.fleet import Fleet, histories, until_ended
from tests.acceptance.drills.person import Person
from tests.servers import MariaDB

AWAY = float(os.environ.get("BOTSWAIN_DRILL_SECONDS", 60 if LONG_DRILLS else 8))
PATIENT = {"BOTSWAIN_RUN_LEASE_SECONDS": str(int(AWAY) + 60)}


def judge_refusal(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert "Traceback" not in answer.text


@pytest.mark.timeout(400)
def test_mariadb_is_away_under_load(mariadb_server: MariaDB, new_cluster: NewCluster) -> None:
    cluster = new_cluster(mariadb_server.url, 2, **PATIENT).start()
    process = cluster.api.publish("invoices")
    stranger = cluster.new_robot()  # never seen before the database goes away
    pids = {name: part.pid for name, part in cluster.parts.items()}
    person = Person(cluster, process)
    with Fleet([cluster.new_robot() for _ in range(6)], run_seconds=0.2) as fleet:
        with person.asking():
            fleet.until_runs(15)
            mariadb_server.stop()
            stopped = time.monotonic()
            judge_while_away(cluster, stranger, stopped + AWAY)
            mariadb_server.start()
            fleet.until_runs(len(fleet.runs) + 15)
        until_ended(cluster, person.jobs, 200)

    assert fleet.refusals or person.failures
    assert fleet.complaints == []
    assert person.complaints == []
    assert {job["guid"] for job in cluster.api.every("/jobs")} == set(person.jobs)
    kept = histories(cluster, person.jobs)
    assert breaches(kept) == []
    assert {entries[-1]["status"] for entries in kept.values()} == {SUCCESS}
    assert {name: part.pid for name, part in cluster.parts.items() if part.runs} == pids


def judge_while_away(cluster: Cluster, stranger: Robot, until: float) -> None:
    """Every kind of request is refused, quickly, until the time is over."""
    bearer = {"Authorization": f"Bearer {cluster.token}"}
    while time.monotonic() < until:
        judge_refusal(httpx.get(f"{cluster.url}/api/v1/jobs", headers=bearer, timeout=30))
        judge_refusal(stranger.beat())
        assert httpx.get(f"{cluster.url}/readyz", timeout=30).status_code == 503
        assert httpx.get(f"{cluster.url}/healthz", timeout=30).status_code == 200
