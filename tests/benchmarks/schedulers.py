"""Claim and dispatch by 1, 2, 3 and 4 schedulers on MariaDB, beside Celery's drain of no-op tasks.

Jobs and their tasks are written to the tables as the API would, all at once, while the schedulers wait. What
is measured is the time between the first and the last of them in the database's own time stamps. The server
of the base is Celery as its documentation starts it: two processes, on the same Redis.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from redis import Redis as RedisClient

from orchestrator.tasks.hints import OWNERS
from orchestrator.tasks.model import PARTITIONS, RANK_SHIFT
from tests.benchmarks.celery_noop import CeleryWorker
from tests.benchmarks.cluster import ADMIN_TOKEN, BIN, SECRET_KEY, Child, ended, migrate, wait_until
from tests.benchmarks.figures import Figure, Target, in_turn
from tests.benchmarks.options import Options
from tests.benchmarks.resource_tables import connect
from tests.benchmarks.servers import Servers, new_database

MANY = 3  # schedulers, of which the figure against Celery is
BLOCK = 10  # neighbours in one partition, as the API spreads them
PATIENCE_SECONDS = 120.0

# `seq_1_to_n` is MariaDB's own table of numbers.
JOBS = """
INSERT INTO jobs (id, tenant_id, guid, process_id, process_version_id, status, priority, `rank`, target,
    arguments, max_attempts, on_lost, created_by, attempt, fence, robot_id, created_at)
SELECT {first} + seq, 1, RPAD(MD5({first} + seq), 36, '0'), 1, 1, {status}, 0, 100, 'any', '{{}}', 1, 'fail',
    'system:benchmark', 1, 0, 0, UTC_TIMESTAMP(6)
FROM seq_1_to_{count}
"""
TASKS = """
INSERT INTO tasks (tenant_id, guid, kind, lane, subject_id, activity, arguments, node, `partition`, seq,
    position, status, attempt, max_attempts, fence, owner, created_by, created_at, finished_at)
SELECT 1, RPAD(MD5({first} + seq), 36, '0'), 'dispatch', 0, {first} + seq, '', '{{}}', '',
    (seq DIV {block}) % {partitions}, {first} + seq, {base} + {first} + seq, {status}, 0, 20, 0, '',
    'system:benchmark', UTC_TIMESTAMP(6), {finished}
FROM seq_1_to_{count}
"""
LEFT = "SELECT COUNT(*) FROM tasks WHERE status = 0"
TIMES = """
SELECT TIMESTAMPDIFF(MICROSECOND, MIN(claimed_at), MAX(finished_at)) / 1e6 FROM tasks
WHERE subject_id > {first}
"""
CREATED, PENDING, STOPPED, QUEUED, SUCCEEDED = 0, 1, 7, 0, 4


def run(servers: Servers, options: Options) -> Iterator[Figure]:
    with servers.redis() as redis, servers.mariadb() as url:
        count, sizes = options.jobs * 10, options.row_counts
        numbers = (1, 2, MANY, 4) if len(sizes) > 1 else (MANY,)
        tables = {rows: Tables(new_database(url, f"scheduled_{rows}"), rows) for rows in sizes}
        fewest = min(sizes)
        with CeleryWorker(f"{redis}/15", servers.folder) as celery:
            measures: dict[str, Callable[[], float]] = {"celery": partial(celery.drained_per_second, count)}
            for rows in sizes:
                measures[f"rows {rows}"] = partial(_drained, servers, tables[rows], redis, MANY, count)
            for number in numbers:
                if number != MANY:
                    alone = partial(_drained, servers, tables[fewest], redis, number, count)
                    measures[f"schedulers {number}"] = alone
            found = in_turn(measures, options.rounds)
        for one in tables.values():
            one.close()
    yield from _figures(found, sizes, numbers)


def _figures(
    found: dict[str, list[float]], sizes: tuple[int, ...], numbers: tuple[int, ...]
) -> Iterator[Figure]:
    fewest = min(sizes)
    rates = {MANY: found[f"rows {fewest}"], **{n: found[f"schedulers {n}"] for n in numbers if n != MANY}}
    for rows in sizes:
        ours, name = found[f"rows {rows}"], f"claim + dispatch, {MANY} schedulers, {rows:,} rows"
        goal = Target(ratio_at_least=3.0)
        yield Figure("schedulers", name, "jobs/s", ours, "Celery no-op", found["celery"], goal)
        if rows > fewest:
            base, flat = f"the same at {fewest:,} rows", Target(ratio_at_least=0.85)
            yield Figure("schedulers", name, "jobs/s", ours, base, rates[MANY], flat)
    for fewer, more in ((1, 2), (2, 4)):
        if fewer in rates and more in rates:
            name, base = f"claim + dispatch, {more} schedulers", f"{fewer} of them"
            goal = Target(ratio_at_least=1.0)
            yield Figure("schedulers", name, "jobs/s", rates[more], base, rates[fewer], goal)


def _drained(servers: Servers, tables: Tables, redis: str, number: int, count: int) -> float:
    """Jobs handed out in a second by `number` schedulers, all of which wait when the jobs come."""
    with _schedulers(servers, tables.url, redis, number):
        return tables.drained(count)


@contextlib.contextmanager
def _schedulers(servers: Servers, url: str, redis: str, number: int) -> Iterator[None]:
    with RedisClient.from_url(f"{redis}/14") as client:
        client.flushdb()
        children = [_scheduler(servers, url, f"{redis}/14", one, number) for one in range(1, number + 1)]
        with ended(*children):
            for child in children:
                wait_until(child, lambda: len(set(client.hvals(OWNERS))) == number)
            wait_until(children[0], lambda: client.hlen(OWNERS) == PARTITIONS)
            yield


def _scheduler(servers: Servers, url: str, redis: str, number: int, size: int) -> Child:
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": redis,
        "BOTSWAIN_SECRET_KEY": SECRET_KEY,
        "BOTSWAIN_ADMIN_TOKEN": ADMIN_TOKEN,
        "SCHEDULER_CLUSTER_ID": str(number),
        "SCHEDULER_CLUSTER_SIZE": str(size),
        "SCHEDULER_WORKING_PATH": str(servers.folder / f"scheduler-{number}"),
    }
    return Child(f"scheduler-{number}", [str(BIN / "botswain"), "scheduler"], environment, servers.folder)


class Tables:
    """`jobs` and `tasks` with so many rows that are done, in a database of their own."""

    def __init__(self, url: str, rows: int) -> None:
        self.url = url
        migrate(url)
        self._connection = connect(url)
        self._next = 0
        self._fill(rows, STOPPED, SUCCEEDED)
        self._say("ANALYZE TABLE jobs, tasks")

    def drained(self, count: int) -> float:
        first = self._next
        self._fill(count, CREATED, QUEUED)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._ask(LEFT) > 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"of {count} jobs {self._ask(LEFT)} still wait")
            time.sleep(0.1)
        seconds = float(self._ask(TIMES.format(first=first)))
        self._say(f"UPDATE jobs SET status = {STOPPED} WHERE status = {PENDING}")
        return count / seconds

    def _fill(self, count: int, job_status: int, task_status: int) -> None:
        finished = "UTC_TIMESTAMP(6)" if task_status == SUCCEEDED else "NULL"
        places = {"block": BLOCK, "partitions": PARTITIONS, "base": 100 * RANK_SHIFT, "finished": finished}
        self._say(JOBS.format(first=self._next, count=count, status=job_status))
        self._say(TASKS.format(first=self._next, count=count, status=task_status, **places))
        self._next += count

    def _say(self, *statements: str) -> None:
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        self._connection.commit()

    def _ask(self, query: str) -> Any:
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            (value,) = cursor.fetchone()
        self._connection.commit()
        return value

    def close(self) -> None:
        self._connection.close()
