"""A queue full of resources in MariaDB, an equal plain table beside it, and runs to take for."""

from __future__ import annotations

from typing import Any

import pymysql  # type: ignore[import-untyped]
from sqlalchemy import make_url

from orchestrator.resources.conditions import terms_of
from tests.benchmarks.cluster import migrate

QUEUE, QUEUE_ID = "benchmark", 1
REGIONS = 10  # values of the parameter by which a take may search
ROBOTS = 64

QUEUE_ROW = """
INSERT INTO queues (id, tenant_id, public_id, name, description, on_duplicate, on_lost, max_attempts,
    retry_application_errors, retry_business_errors, retry_delay_seconds, retry_backoff, created_at)
VALUES ({id}, 1, '{id}', '{name}', '', 'refuse', 'new', 3, 0, 0, 0, 2.0, UTC_TIMESTAMP(6))
"""
RUNS = """
INSERT INTO runs (id, tenant_id, job_id, job_guid, robot_id, attempt, fence, uses_resources, consumed_at)
SELECT seq, 1, seq, CONCAT('job-', seq), seq, 1, 1, 0, UTC_TIMESTAMP(6) FROM seq_1_to_{count}
"""
# `seq_1_to_n` is MariaDB's own table of numbers.
FILL = """
INSERT INTO resources (tenant_id, public_id, queue_id, value, parameters, tags, status, priority, `rank`,
    attempt, is_postponed, is_overdue, created_by, created_at, updated_at, version, fence, read_fence,
    write_fence)
SELECT 1, UUID(), {queue}, JSON_OBJECT('number', seq), JSON_OBJECT('region', CONCAT('R', seq % {regions})),
    '[]', 0, 0, 0, 0, 0, 0, 'system:benchmark', UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), 0, 0, 0, 0
FROM seq_1_to_{count}
"""
TERMS = """
INSERT INTO resource_terms (tenant_id, resource_id, queue_id, term, status, is_postponed, `rank`)
SELECT 1, id, queue_id, {term}, 0, 0, 0 FROM resources r
WHERE JSON_VALUE(parameters, '$.region') = '{region}'
"""
# As it was filled, whatever was taken or finished meanwhile.
RENEW = (
    "UPDATE resources SET status = 0, read_run_id = NULL, taken_by = NULL, attempt = 0 WHERE status <> 0",
    "UPDATE resource_terms SET status = 0 WHERE status <> 0",
    "TRUNCATE resource_history",
)
PLAIN_HEAD = f"""
SELECT id, public_id, value, parameters FROM plain_resources
WHERE queue_id = {QUEUE_ID} AND status = 0 AND is_postponed = 0 ORDER BY `rank`, id LIMIT 1
FOR UPDATE SKIP LOCKED
"""
PLAIN_TAKE = "UPDATE plain_resources SET status = {}, version = version + 1, taken_by = {} WHERE id = {}"


class ResourceTables:
    """`resources` and, where asked for, its equal `plain_resources`, with a row for each run."""

    def __init__(self, url: str, count: int, *, plain: bool = True, migrated: bool = False) -> None:
        self.url = url
        if not migrated:
            migrate(url)
        self._connection = connect(url)
        self.say(QUEUE_ROW.format(id=QUEUE_ID, name=QUEUE), RUNS.format(count=ROBOTS))
        self.say(FILL.format(queue=QUEUE_ID, regions=REGIONS, count=count))
        for number in range(REGIONS):
            (term,) = terms_of([], {"region": f"R{number}"})
            self.say(TERMS.format(term=term, region=f"R{number}"))
        self._has_plain = plain
        if plain:
            self.say("CREATE TABLE plain_resources LIKE resources")
        self.renew()
        self.say("ANALYZE TABLE resources, resource_terms, runs")

    def renew(self) -> None:
        """All New again."""
        self.say(*RENEW)
        if self._has_plain:
            self.say("TRUNCATE plain_resources", "INSERT INTO plain_resources SELECT * FROM resources")

    def say(self, *statements: str) -> None:
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        self._connection.commit()

    def close(self) -> None:
        self._connection.close()


def connect(url: str) -> Any:
    parts = make_url(url)
    return pymysql.connect(
        host=parts.host,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    )
