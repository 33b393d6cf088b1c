"""Robots share a queue on MariaDB while they are killed and Redis is emptied and stopped."""

import json
import random
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.acceptance.cluster import Cluster, Part
from tests.acceptance.cluster.fixtures import LONG_DRILLS, NewCluster
from tests.acceptance.drills.resource_checker import Evidence, Histories, breaches
from tests.acceptance.resources.actors import Person, new_queue
from tests.servers import Redis

PROJECT = Path(__file__).parents[3]
RESOURCES = 10_000 if LONG_DRILLS else 120
ROBOTS = 64 if LONG_DRILLS else 8
JOBS_AT_ONCE = 200 if LONG_DRILLS else 50  # a robot ends its run after a dozen, or is killed in it
PROCESSES = 4 if LONG_DRILLS else 2
FLUSHES, STOPS, KILLS = (50, 10, 60) if LONG_DRILLS else (4, 1, 4)
LIMIT = 3600 if LONG_DRILLS else 120


class Fleet:
    """Processes full of robots, each begun again when it was killed."""

    def __init__(self, cluster: Cluster, queue: str) -> None:
        self.testimony = cluster.folder / "testimony.jsonl"
        robots = [cluster.new_robot(group="drill").guid for _ in range(ROBOTS)]
        program = [sys.executable, "-m", "tests.acceptance.drills.resource_robots", cluster.url, queue]
        environment = cluster.environment(PYTHONPATH=str(PROJECT))
        self.parts = [
            Part(
                f"robots-{number}",
                [*program, str(self.testimony), *robots[number::PROCESSES]],
                environment,
                cluster.folder,
            ).start()
            for number in range(PROCESSES)
        ]

    def kill_one(self) -> None:
        part = random.choice(self.parts)
        part.kill()
        part.start()

    def end(self) -> None:
        for part in self.parts:
            part.kill()

    def told(self) -> list[Evidence]:
        lines = self.testimony.read_text().splitlines()
        return [Evidence(**json.loads(line)) for line in lines if line.endswith("}")]


@pytest.mark.timeout(LIMIT + 300)
def test_each_resource_is_finished_once_whatever_dies(
    new_cluster: NewCluster, mariadb_database: str, redis_server: Redis
) -> None:
    cluster = new_cluster(mariadb_database).start()
    person, process = Person(cluster), cluster.api.publish("invoices")
    queue = new_queue(person, max_attempts=1000)
    ids: list[str] = []
    for begin in range(0, RESOURCES, 1000):
        ids += person.create(queue, *({"value": 0} for _ in range(begin, min(begin + 1000, RESOURCES))))
    jobs = [{"process": process, "group": "drill"}] * JOBS_AT_ONCE
    for _ in range(ROBOTS // 4):
        assert person.send("POST", "/jobs", json=jobs).status_code == 201
    fleet = Fleet(cluster, queue)
    try:
        _harm_until_done(cluster, person, queue, fleet, redis_server)
    finally:
        fleet.end()
    told, histories = fleet.told(), {resource: person.history(resource) for resource in ids}
    assert breaches(histories, [one for one in told if one.what != "mistake"]) == []
    assert [one for one in told if one.what == "mistake"] == []
    _was_worth_it(histories)


def _harm_until_done(cluster: Cluster, person: Person, queue: str, fleet: Fleet, redis_server: Redis) -> None:
    harms = ["flush"] * FLUSHES + ["stop"] * STOPS + ["kill"] * KILLS
    random.shuffle(harms)
    end = time.monotonic() + LIMIT
    while True:
        counts = person.send("GET", f"/queues/{queue}").json()["counts"]
        if counts["Processed"] == RESOURCES:
            break
        assert time.monotonic() < end, f"{counts}, harms left: {len(harms)}"
        done = counts["Processed"] / RESOURCES
        planned = FLUSHES + STOPS + KILLS
        if harms and planned - len(harms) <= done * 1.1 * planned:
            _harm(harms.pop(), fleet, redis_server)
        time.sleep(0.05)
    assert not harms


def _harm(kind: str, fleet: Fleet, redis_server: Redis) -> None:
    if kind == "kill":
        fleet.kill_one()
    elif kind == "stop":
        redis_server.kill()
        time.sleep(1)
        redis_server.restart()
    else:
        with redis.Redis.from_url(redis_server.url) as client:
            client.flushall()


def _was_worth_it(histories: Histories) -> None:
    """The drill had stale writers that were refused, lost runs and expired locks, or it showed nothing."""
    events = [entry for entries in histories.values() for entry in entries]
    refused = {entry["detail"]["code"] for entry in events if entry["event"] == "refused"}
    assert refused & {"stale_fence", "conflict", "locked", "no_run"}
    assert not LONG_DRILLS or "run_ended" in {entry["event"] for entry in events}
