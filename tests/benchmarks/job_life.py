"""The full life of jobs over HTTP, beside no-op tasks that Celery drains from the same Redis.

A job: created in a list, handed out by the scheduler, consumed, reported begun and reported done by robots
that heartbeat between jobs. Client, servers and database share the machine.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from functools import partial

from tests.benchmarks import wire
from tests.benchmarks.celery_noop import CeleryWorker
from tests.benchmarks.cluster import ADMIN, JSON_BODY, PROCESS, Cluster, pause_between_measures
from tests.benchmarks.figures import Figure, Target, in_turn
from tests.benchmarks.options import Options
from tests.benchmarks.robots import Robot, life
from tests.benchmarks.servers import Servers

IN_A_LIST = 100
LIMIT_SECONDS = 120.0


def run(servers: Servers, options: Options) -> Iterator[Figure]:
    for name in ("sqlite", "mariadb"):
        with (
            servers.redis() as redis,
            servers.database(name) as database,
            Cluster(database, f"{redis}/0", servers.folder) as cluster,
            CeleryWorker(f"{redis}/1", servers.folder) as celery,
        ):
            robots = [Robot(guid, wait_seconds=2) for guid in cluster.new_robots(options.robots)]
            _lives_per_second(cluster, robots, options.jobs // 5)  # the first of each process is slow
            measures = {
                "jobs": partial(_lives_per_second, cluster, robots, options.jobs),
                "tasks": partial(_drained_per_second, celery, 2 * options.jobs),
            }
            found = in_turn(measures, options.rounds)
        base = "Celery no-op, prefork 2"
        goal, more = Target(ratio_at_least=0.5), {"robots": options.robots, "jobs": options.jobs}
        yield Figure(
            "job_life", f"job life on {name}", "jobs/s", found["jobs"], base, found["tasks"], goal, more
        )


def _drained_per_second(celery: CeleryWorker, count: int) -> float:
    pause_between_measures()
    return celery.drained_per_second(count)


def _lives_per_second(cluster: Cluster, robots: list[Robot], count: int) -> float:
    """From the first job's order to the last one's end."""
    pause_between_measures()
    finished: list[str] = []
    began = time.monotonic()
    creator = threading.Thread(target=_create, args=(cluster.port, count))
    creator.start()
    deadline = began + LIMIT_SECONDS
    wire.converse(
        cluster.port,
        [life(robot, finished) for robot in robots],
        lambda: len(finished) >= count or time.monotonic() > deadline,
    )
    took = time.monotonic() - began
    creator.join()
    if len(set(finished)) != count:
        raise RuntimeError(f"{len(set(finished))} of {count} jobs were finished in {LIMIT_SECONDS:.0f} s")
    return count / took


def _create(port: int, count: int) -> None:
    with contextlib.closing(wire.Line(port)) as line:
        for first in range(0, count, IN_A_LIST):
            size = min(IN_A_LIST, count - first)
            orders = json.dumps([{"process": PROCESS, "arguments": {"number": n}} for n in range(size)])
            answer = line.ask(wire.request("POST", "/api/v1/jobs", ADMIN, orders.encode(), JSON_BODY))
            if answer.status != 201:
                raise RuntimeError(f"create was answered {answer.status}: {answer.body[:300]!r}")
