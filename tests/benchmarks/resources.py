"""Resources on MariaDB: take and finish, take from small and large queues, lock and unlock.

The plain statement is raw PyMySQL on an equal table: SELECT … FOR UPDATE SKIP LOCKED, one UPDATE, COMMIT. It
has no locks that end, no history, no order of those who wait; "plain, twice" is the same with a second UPDATE
and COMMIT for the end. Robots are as many on either side; client, server and database share the machine.
"""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from redis import Redis
from redis.lock import Lock

from orchestrator.resources import lifecycle as verbs
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.transaction import Actor
from tests.benchmarks import wire
from tests.benchmarks.cluster import JSON_BODY, Cluster, pause_between_measures
from tests.benchmarks.figures import Figure, Target, in_turn
from tests.benchmarks.options import Options
from tests.benchmarks.resource_crew import Crew, Verbs
from tests.benchmarks.resource_tables import QUEUE, ROBOTS, ResourceTables
from tests.benchmarks.servers import Servers, new_database
from tests.benchmarks.wire import Conversation, request

STOCK_PER_SECOND = 4000  # resources that the quickest would take
LOCKS = 100  # a round
KINDS = ("ours", "plain", "plain two")
EACH_ROBOT_A_RUN = """
UPDATE runs JOIN (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS number FROM robots) r ON r.number = runs.id
SET runs.robot_id = r.id
"""


def run(servers: Servers, options: Options) -> Iterator[Figure]:
    with servers.redis() as redis, servers.mariadb() as url:
        yield from _take_and_finish(servers, options, url, f"{redis}/0")
        yield from _sizes(options, url, f"{redis}/1")
        yield from _locks(options, url, f"{redis}/2")


# Take and finish ----------------------------------------------------------------------------------------


def _take_and_finish(servers: Servers, options: Options, url: str, redis: str) -> Iterator[Figure]:
    with Cluster(url, redis, servers.folder, scheduler=False) as cluster:
        guids = cluster.new_robots(ROBOTS)
        stock = max(1000, int(STOCK_PER_SECOND * options.seconds))
        tables = ResourceTables(url, stock, migrated=True)
        tables.say(EACH_ROBOT_A_RUN)
        found = {}
        with Crew(url, redis) as crew:
            for robots in options.resource_robots:
                measures = {
                    "http": partial(_by_http, cluster.port, guids[:robots], options.seconds),
                    **{kind: partial(crew.rate, kind, robots, options.seconds) for kind in KINDS},
                }
                fresh = {kind: partial(_fresh, tables, measure) for kind, measure in measures.items()}
                in_turn({"ours": partial(crew.rate, "ours", robots, 0.5)}, 1)  # warm
                found[robots] = in_turn(fresh, options.rounds)
        tables.close()
    for robots, rates in found.items():
        yield from _compared(robots, rates)


def _fresh(tables: ResourceTables, measure: Callable[[], float]) -> float:
    tables.renew()
    pause_between_measures()
    return measure()


def _compared(robots: int, rates: dict[str, list[float]]) -> Iterator[Figure]:
    for kind, name in (("ours", "take + finish, verbs"), ("http", "take + finish, HTTP")):
        for base, said in (("plain", "plain SKIP LOCKED"), ("plain two", "plain, twice")):
            goal = Target(ratio_at_least=1.0) if base == "plain" else None
            title = f"{name}, {robots} robots"
            yield Figure("resources", title, "resources/s", rates[kind], said, rates[base], goal)


def _by_http(port: int, guids: list[str], seconds: float) -> float:
    finished = [0]
    end = time.monotonic() + seconds
    began = time.monotonic()
    wire.converse(port, [_work(guid, finished) for guid in guids], lambda: time.monotonic() >= end)
    return finished[0] / (time.monotonic() - began)


def _work(guid: str, finished: list[int]) -> Conversation:
    basic = "Basic " + base64.b64encode(guid.encode()).decode()
    take = request("POST", f"/api/v1/queues/{QUEUE}/take", basic, b'{"lock": "read"}', JSON_BODY)
    end = json.dumps({"status": "Processed", "result": {"done": True}}).encode()
    while True:
        taken = yield take
        if taken.status != 200:
            raise RuntimeError(f"take was answered {taken.status}: {taken.body[:200]!r}")
        path = f"/api/v1/resources/{taken.json()['id']}/finish"
        answer = yield request("POST", path, basic, end, JSON_BODY)
        if answer.status != 200:
            raise RuntimeError(f"finish was answered {answer.status}: {answer.body[:200]!r}")
        finished[0] += 1


# Sizes --------------------------------------------------------------------------------------------------


def _sizes(options: Options, url: str, redis: str) -> Iterator[Figure]:
    sizes = options.resource_counts
    tables = {n: ResourceTables(new_database(url, f"resources_{n}"), n, plain=False) for n in sizes}
    ours = {n: Verbs(one.url, redis) for n, one in tables.items()}
    measures: dict[str, Callable[[], float]] = {}
    for n in sizes:
        measures[f"any {n}"] = partial(_takes, tables[n], ours[n], options.claims, {})
        measures[f"by {n}"] = partial(_takes, tables[n], ours[n], options.claims, {"parameters.region": "R7"})
    in_turn(measures, 1)  # warm
    found = in_turn(measures, options.rounds * 2)
    for one in tables.values():
        one.close()
    fewest = min(sizes)
    for n in sizes:
        for kind, name in (("any", "take"), ("by", "take by a parameter")):
            small = found[f"{kind} {fewest}"]
            goal = Target(ratio_at_least=0.85) if n > fewest else None
            said = f"the same of {fewest:,}"
            yield Figure("resources", f"{name} of {n:,}", "takes/s", found[f"{kind} {n}"], said, small, goal)


def _takes(tables: ResourceTables, ours: Verbs, count: int, where: dict[str, Any]) -> float:
    """Takes a second by the median one."""
    took = []
    for _ in range(count):
        began = time.perf_counter()
        row = ours.take(1, where)
        took.append(time.perf_counter() - began)
        if row is None:
            raise RuntimeError("there was nothing to take")
    tables.renew()
    ours.forget()  # nobody freed them by the verbs: Redis takes them for being given
    return 1 / statistics.median(took)


# Locks --------------------------------------------------------------------------------------------------


def _locks(options: Options, url: str, redis: str) -> Iterator[Figure]:
    tables = ResourceTables(new_database(url, "resources_locked"), 1000, plain=False)
    ours, client = Verbs(tables.url, redis), Redis.from_url(redis)
    row = ours.take(1)
    who = Initiator(run_id=1, job_guid="job-1")
    actor = Actor("robot", "robot-1", 1)

    def lock_ours() -> None:
        ours.run(lambda tx: verbs.lock(tx, row["public_id"], who, (Mode.WRITE,), None), actor)
        ours.run(lambda tx: verbs.unlock(tx, row["public_id"], who, (Mode.WRITE,)), actor)

    def lock_redis() -> None:
        lock = Lock(client, "benchmark", timeout=30)
        lock.acquire()
        lock.release()

    measures = {"ours": partial(_each, lock_ours), "redis": partial(_each, lock_redis)}
    in_turn(measures, 1)  # warm
    found = in_turn(measures, options.rounds)
    tables.close()
    yield Figure("resources", "lock + unlock", "pairs/s", found["ours"], "redis-py Lock", found["redis"])


def _each(pair: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(LOCKS):
        pair()
    return LOCKS / (time.perf_counter() - began)
