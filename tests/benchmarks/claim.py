"""A claim of ten on MariaDB, beside raw PyMySQL that does the plain thing on an equal table.

Raw: SELECT the first ten of the line FOR UPDATE SKIP LOCKED, one UPDATE of them, COMMIT. It has no lease, no
fence and no owner to check. Nine rows of ten are finished; what was claimed is finished too after each
round, and as many new ones come. All sizes take turns claim by claim, so that they can be compared as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pymysql  # type: ignore[import-untyped]
from sqlalchemy import create_engine, make_url

from orchestrator.database import engine_options, prepare
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import claim
from orchestrator.tasks.model import RANK_SHIFT, Lane, TaskStatus
from orchestrator.transaction import SYSTEM_TENANT, Transaction, Transactions
from tests.benchmarks.cluster import migrate
from tests.benchmarks.figures import Figure, Target, in_turn
from tests.benchmarks.options import Options
from tests.benchmarks.servers import Servers, new_database

BATCH = 10
PARTITION = 7
OWNER = "benchmark#1"
LEASE = timedelta(hours=1)
FIRST_POSITION = 100 * RANK_SHIFT

# `seq_1_to_n` is MariaDB's own table of numbers.
FILL = """
INSERT INTO {table} (tenant_id, guid, kind, lane, subject_id, activity, arguments, node, `partition`, seq,
    position, status, attempt, max_attempts, fence, owner, created_by, created_at)
SELECT 1, RPAD(MD5({first} + seq), 36, '0'), 'dispatch', 0, {first} + seq, '', '{{}}', '', {partition},
    {first} + seq, {base} + {first} + seq, IF(seq <= {finished}, {succeeded}, {queued}), 0, 20, 0, '',
    'system:benchmark', UTC_TIMESTAMP(6)
FROM seq_1_to_{count}
"""
HEAD = f"""
SELECT id, tenant_id, guid, kind, subject_id, node, fence, attempt, seq, position, created_at FROM raw_tasks
WHERE `partition` = {PARTITION} AND lane = 0 AND status = 0 ORDER BY position LIMIT {BATCH}
FOR UPDATE SKIP LOCKED
"""
TAKE = """
UPDATE raw_tasks SET status = 2, fence = fence + 1, attempt = attempt + 1, owner = 'benchmark#1',
    claimed_at = UTC_TIMESTAMP(6), lease_until = UTC_TIMESTAMP(6) + INTERVAL 30 SECOND WHERE id IN ({})
"""


def run(servers: Servers, options: Options) -> Iterator[Figure]:
    with servers.mariadb() as url:
        tables = {rows: Tables(new_database(url, f"rows_{rows}"), rows) for rows in options.row_counts}
        _round(tables, options.claims)  # the first is slow
        rounds = [_round(tables, options.claims) for _ in range(options.rounds * 2)]
        found = {name: [rates[name] for rates in rounds] for name in rounds[0]}
        for both in tables.values():
            both.close()
    fewest = min(options.row_counts)
    for rows in options.row_counts:
        ours, raw = found[f"ours {rows}"], found[f"raw {rows}"]
        goal = Target(ratio_at_least=0.7)
        yield Figure("claim", f"claim of ten, {rows:,} rows", "jobs/s", ours, "raw PyMySQL", raw, goal)
        if rows > fewest:
            small, name = found[f"ours {fewest}"], f"the same at {fewest:,} rows"
            goal = Target(ratio_at_least=0.85)
            yield Figure("claim", f"claim of ten, {rows:,} rows", "jobs/s", ours, name, small, goal)


def _round(tables: dict[int, Tables], claims: int) -> dict[str, float]:
    """Jobs a second by the median claim of each, which a disturbance of the machine does not move."""
    measures: dict[str, Callable[[], float]] = {}
    for rows, both in tables.items():
        both.refill(claims)
        measures[f"ours {rows}"] = partial(_seconds, both.claim_ours)
        measures[f"raw {rows}"] = partial(_seconds, both.claim_raw)
    took = in_turn(measures, claims)
    for both in tables.values():
        both.finish()
    return {name: BATCH / statistics.median(seconds) for name, seconds in took.items()}


def _seconds(claim_ten: Callable[[], int]) -> float:
    began = time.perf_counter()
    count = claim_ten()
    took = time.perf_counter() - began
    if count != BATCH:
        raise RuntimeError(f"a claim took {count} tasks of {BATCH}")
    return took


class Tables:
    """`tasks` and its equal `raw_tasks`, in a database of their own."""

    def __init__(self, url: str, rows: int) -> None:
        migrate(url)
        self._raw = _connect(url)
        self._next = 0
        self._fill("tasks", rows, rows * 9 // 10)
        self._say("CREATE TABLE raw_tasks LIKE tasks", "INSERT INTO raw_tasks SELECT * FROM tasks")
        self._next = rows
        self._say("ANALYZE TABLE tasks, raw_tasks")
        self._transactions = Transactions(prepare(create_engine(url, **engine_options(make_url(url)))))
        (self._owned,) = self._run(lambda tx: partitions.acquire(tx, [PARTITION], OWNER, LEASE))

    def claim_ours(self) -> int:
        batch = self._run(lambda tx: claim(tx, self._owned, Lane.SCHEDULER, BATCH, timedelta(seconds=30)))
        return len(batch.tasks)

    def claim_raw(self) -> int:
        with self._raw.cursor() as cursor:
            cursor.execute(HEAD)
            ids = ",".join(str(row[0]) for row in cursor.fetchall())
            count = int(cursor.execute(TAKE.format(ids)))
        self._raw.commit()
        return count

    def refill(self, claims: int) -> None:
        """As many new tasks as the coming claims will take, in both."""
        for table in ("tasks", "raw_tasks"):
            self._fill(table, claims * BATCH, 0)
        self._next += claims * BATCH

    def finish(self) -> None:
        """What was claimed is done, in either."""
        for table in ("tasks", "raw_tasks"):
            done, claimed = TaskStatus.SUCCEEDED.value, TaskStatus.CLAIMED.value
            self._say(
                f"UPDATE {table} SET status = {done}, owner = '', lease_until = NULL WHERE status = {claimed}"
            )

    def close(self) -> None:
        self._raw.close()
        self._transactions.engine.dispose()

    def _run(self, work: Callable[[Transaction], Any]) -> Any:
        return self._transactions.run(work, tenant_id=SYSTEM_TENANT)

    def _fill(self, table: str, count: int, finished: int) -> None:
        self._say(
            FILL.format(
                table=table,
                first=self._next,
                count=count,
                partition=PARTITION,
                base=FIRST_POSITION,
                finished=finished,
                succeeded=TaskStatus.SUCCEEDED.value,
                queued=TaskStatus.QUEUED.value,
            )
        )

    def _say(self, *statements: str) -> None:
        with self._raw.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        self._raw.commit()


def _connect(url: str) -> Any:
    parts = make_url(url)
    return pymysql.connect(
        host=parts.host,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )
