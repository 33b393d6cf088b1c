"""A witness within MariaDB: a trigger notes each change of a task, who made it, and whose the partition is.

Each scheduler has a database account of its own, so the writer's name is the server's word and not its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pymysql  # type: ignore[import-untyped]
from pymysql.cursors import Cursor  # type: ignore[import-untyped]
from sqlalchemy import make_url

from orchestrator.tasks.model import TaskStatus
from tests.drill.rules import Change
from tests.servers import MariaDB

PASSWORD = "password-of-a-drilled-scheduler"

TABLE = """
CREATE TABLE drill_witness (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, task BIGINT, `partition` INT, position BIGINT, before_status INT,
    after_status INT, before_fence BIGINT, fence BIGINT, writer VARCHAR(80), owner VARCHAR(120))
"""
TRIGGER = """
CREATE TRIGGER drill_witness AFTER UPDATE ON tasks FOR EACH ROW
BEGIN
    DECLARE whose VARCHAR(120);
    IF OLD.status <> NEW.status OR OLD.fence <> NEW.fence THEN
        SELECT owner INTO whose FROM partitions WHERE id = NEW.`partition`;
        INSERT INTO drill_witness
            (task, `partition`, position, before_status, after_status, before_fence, fence, writer, owner)
        VALUES (NEW.id, NEW.`partition`, NEW.position, OLD.status, NEW.status, OLD.fence, NEW.fence,
            SUBSTRING_INDEX(USER(), '@', 1), whose);
    END IF;
END
"""
CHANGES = """
SELECT task, `partition`, position, before_status, after_status, before_fence, fence, writer, owner
FROM drill_witness ORDER BY id
"""
JOBS = """
SELECT jobs.guid, tasks.id, jobs.status,
    (SELECT COUNT(*) FROM job_history WHERE job_id = jobs.id AND event = 'dispatch')
FROM jobs JOIN tasks ON tasks.subject_id = jobs.id
"""
WAITS = """
SELECT TIMESTAMPDIFF(MICROSECOND, created.at, handed.at) / 1e6 FROM job_history created
JOIN job_history handed ON handed.job_id = created.job_id AND handed.event = 'dispatch'
WHERE created.event = 'create'
"""


@dataclass(frozen=True)
class Job:
    """A job and its task, as the database has them."""

    task: int
    status: int
    handed_out: int  # how often history says so


class Witness:
    def __init__(self, server: MariaDB) -> None:
        self._server = server

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Cursor]:
        connection = pymysql.connect(
            host="127.0.0.1", port=self._server.port, user="root", database="botswain", autocommit=True
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor

    def begin(self, schedulers: int) -> None:
        """Call it when the schema is there, and no scheduler yet."""
        with self._asking() as cursor:
            for number in range(1, schedulers + 1):
                account = f"'{account_of(number)}'@'127.0.0.1'"
                cursor.execute(f"CREATE USER {account} IDENTIFIED BY '{PASSWORD}'")
                cursor.execute(f"GRANT ALL PRIVILEGES ON botswain.* TO {account}")
            cursor.execute(TABLE)
            cursor.execute(TRIGGER)

    def url(self, number: int, port: int) -> str:
        """The database's URL for scheduler `number`, through the proxy on `port`."""
        url = make_url(self._server.url).set(username=account_of(number), password=PASSWORD, port=port)
        return url.render_as_string(hide_password=False)

    def changes(self) -> list[Change]:
        with self._asking() as cursor:
            cursor.execute(CHANGES)
            rows: list[Any] = cursor.fetchall()
        return [Change(*[*row[:7], writer_of(row[7]), owner_of(row[8])]) for row in rows]

    def has_written(self, number: int, since: int) -> bool:
        """Whether scheduler `number` has changed a task after the first `since` changes."""
        return any(change.writer == str(number) for change in self.changes()[since:])

    def jobs(self) -> dict[str, Job]:
        """By GUID."""
        with self._asking() as cursor:
            cursor.execute(JOBS)
            return {guid: Job(*rest) for guid, *rest in cursor.fetchall()}

    def waiting(self) -> int:
        """Tasks that are not finished."""
        return int(self._number("SELECT COUNT(*) FROM tasks WHERE status < %s", TaskStatus.SUCCEEDED.value))

    def aside(self) -> int:
        """Tasks that let others pass for a while."""
        return int(self._number("SELECT COUNT(*) FROM tasks WHERE status = %s", TaskStatus.POSTPONED.value))

    def are_handed_out(self, guids: Sequence[str]) -> bool:
        marks = ", ".join(["%s"] * len(guids))
        done = self._number(f"SELECT COUNT(*) FROM jobs WHERE status <> 0 AND guid IN ({marks})", *guids)
        return done == len(guids)

    def longest_wait(self) -> float:
        """Seconds since the oldest task that is not finished arrived."""
        oldest = (
            "SELECT COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6))), 0) FROM tasks "
            "WHERE status < %s"
        )
        return self._number(oldest, TaskStatus.SUCCEEDED.value) / 1e6

    def waits(self) -> list[float]:
        """Seconds from the creation of each job to its handing out, by the database's time."""
        with self._asking() as cursor:
            cursor.execute(WAITS)
            return [float(seconds) for (seconds,) in cursor.fetchall()]

    def owners(self) -> dict[int, str]:
        """The number of the scheduler that has each partition, by leases that stand."""
        with self._asking() as cursor:
            cursor.execute("SELECT id, owner FROM partitions WHERE lease_until > UTC_TIMESTAMP(6)")
            return {number: owner_of(owner) for number, owner in cursor.fetchall()}

    def _number(self, query: str, *values: object) -> int:
        with self._asking() as cursor:
            cursor.execute(query, values)
            return int(cursor.fetchone()[0])


def account_of(number: int) -> str:
    return f"scheduler_{number}"


def writer_of(account: str) -> str:
    kind, _, number = account.rpartition("_")
    return number if kind == "scheduler" else ""


def owner_of(owner: str) -> str:
    """`scheduler-2#1a2b3c4d` is 2."""
    return owner.partition("#")[0].rpartition("-")[2]
