"""The engine, UTC, and the only place that asks which database it is.

`tasks/claim.py` is the one exception that the rules allow; it needed none.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Engine,
    Integer,
    MetaData,
    String,
    event,
    exc,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import PoolResetState
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware in Python, UTC to the microsecond in storage."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=False))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError("a naive datetime was given; times are aware everywhere")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


SQLITE_PATIENCE_SECONDS = 15.0
# A client that is paused or cut off in mid-transaction keeps its row locks: those of a partition, say, for
# which its successor waits, and everybody who creates a task there. So the server ends such a transaction.
IDLE_TRANSACTION_SECONDS = 5
LOCK_WAIT_SECONDS = IDLE_TRANSACTION_SECONDS + 1  # outlasts such a holder
STATEMENT_SECONDS = 20
BUSY_TIMEOUT = f"busy_timeout={SQLITE_PATIENCE_SECONDS * 1000:.0f}"
MYSQL_IN_TRANSACTION = 1  # SERVER_STATUS_IN_TRANS, which comes with each answer

BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only as INTEGER

Guid = String(36)


def new_guid() -> str:
    """A random identifier (122 bits), in the lower-case form in which all are kept and compared."""
    return str(uuid.uuid4())


def kept_guid(given: str) -> str:
    """A GUID as `new_guid` made it, however it was spelled: in braces, in capitals, between blanks."""
    return given.strip().strip("{}").lower()


def Name(length: int) -> String:  # noqa: N802  (reads as a type, beside String and Text)
    """Text compared byte by byte: MariaDB's usual collation takes `a`, `A` and `á` for one name."""
    return String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql")


# As a hint, for statements that lock rows by their keys: MariaDB would scan a small table whole, and wait for
# rows that others have locked and that are none of ours.
BY_KEY = "FORCE INDEX (PRIMARY)"


def among(column: Any, values: Iterable[int]) -> Any:
    """`column IN (…)` for numbers that are always the same: a list of parameters is expanded anew at each
    execution, which costs a third of it."""
    return column.in_([literal_column(str(int(value))) for value in sorted(values)])


class database_time(FunctionElement[datetime]):  # noqa: N801  (a SQL function)
    """The database's own clock, in UTC: the only time by which a lease is judged."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(database_time, "mysql")
def _mysql_time(element: Any, compiler: Any, **_: Any) -> str:
    return "UTC_TIMESTAMP(6)"


@compiles(database_time, "postgresql")
def _postgresql_time(element: Any, compiler: Any, **_: Any) -> str:
    # now() stands still within a transaction: a lease could lapse unseen while a statement waited.
    return "(clock_timestamp() AT TIME ZONE 'UTC')"


@compiles(database_time, "sqlite")
def _sqlite_time(element: Any, compiler: Any, **_: Any) -> str:
    # The form in which SQLAlchemy stores datetimes in SQLite, so that text compares as time.
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


def engine_options(url: URL, pool_size: int = 5, *, limits: bool = True) -> dict[str, Any]:
    """Options for `create_engine`, the same for the API's processes and the schedulers.

    Connects, statements and waits for locks have limits, so that a database that is cut off, or a row that
    somebody keeps, is an error and not a hang. A PostgreSQL that is paused with its connections open still
    is one: its driver knows no limit for reads. Without `limits`: for an upgrade of the schema.
    """
    # Parameters stay out of the logs, where errors go: some are secrets.
    shared: dict[str, Any] = {"pool_size": pool_size, "hide_parameters": True}
    if url.get_backend_name() == "sqlite":
        patience = {"timeout": SQLITE_PATIENCE_SECONDS, "check_same_thread": False}
        return shared | {"connect_args": patience}
    is_mysql = url.get_backend_name() == "mysql"
    connect_args: dict[str, Any] = {"connect_timeout": 3}
    if limits:
        connect_args |= _mysql_limits() if is_mysql else _postgresql_limits()
    if is_mysql:
        shared["pool_reset_on_return"] = None  # `_end_mysql_transaction` does it
    return shared | {
        "max_overflow": 0,
        "pool_timeout": 10,
        "pool_recycle": 1800,
        "isolation_level": "READ COMMITTED",
        "connect_args": connect_args,
    }


def _mysql_limits() -> dict[str, Any]:
    """A lock is given up before the read is: the server would go on with a statement that nobody awaits."""
    ours = {
        "idle_transaction_timeout": IDLE_TRANSACTION_SECONDS,
        "innodb_lock_wait_timeout": LOCK_WAIT_SECONDS,
    }
    return {
        "read_timeout": STATEMENT_SECONDS,
        "write_timeout": STATEMENT_SECONDS,
        "init_command": "SET SESSION " + ", ".join(f"{name} = {value}" for name, value in ours.items()),
    }


def _postgresql_limits() -> dict[str, Any]:
    ours = {
        "idle_in_transaction_session_timeout": IDLE_TRANSACTION_SECONDS,
        "lock_timeout": LOCK_WAIT_SECONDS,
        "statement_timeout": STATEMENT_SECONDS,
    }
    # A server that has gone without a word is given up by the kernel, which knows what it has not answered.
    gone = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
    return gone | {
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
        "options": " ".join(f"-c {name}={value}s" for name, value in ours.items()),
    }


def prepare(engine: Engine) -> Engine:
    """Attach what every connection needs. Call once on each new engine."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _on_sqlite_connect)
        turns = _Turns()
        event.listen(engine, "begin", turns.begin)
        event.listen(engine, "checkin", turns.end)
    elif engine.dialect.name == "mysql":
        event.listen(engine, "reset", _end_mysql_transaction)
    return engine


def _end_mysql_transaction(connection: Any, _record: Any, state: PoolResetState) -> None:
    # The pool's own way sends a ROLLBACK, a whole round trip, after each COMMIT as well.
    if not state.terminate_only and connection.server_status & MYSQL_IN_TRANSACTION:
        connection.rollback()


def _on_sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # pysqlite would begin by itself, and late
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", BUSY_TIMEOUT):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


class _Turns:
    """One thread of a process at a time asks SQLite for its only right to write.

    SQLite has no queue: who finds the file locked sleeps for up to 100 ms and looks again, while the lock
    stands free. Within a process this one wakes the next at once; between processes few are left to meet.
    """

    HELD = "botswain_turn"

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def begin(self, connection: Connection) -> None:
        if connection.get_execution_options().get("read_only", False):
            connection.exec_driver_sql("BEGIN")
            return
        if not connection.info.get(self.HELD):
            connection.info[self.HELD] = self._lock.acquire(timeout=SQLITE_PATIENCE_SECONDS)
        # A deferred transaction that reads and then writes fails at once with «database is locked», whatever
        # the busy timeout: 1,750 of 2,000 did with 8 processes, none with BEGIN IMMEDIATE.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def end(self, _connection: Any, record: Any) -> None:
        if record.info.pop(self.HELD, False):
            self._lock.release()


def steady_seconds() -> float:
    """A clock that never jumps, and that also counts, where the system can tell, while it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class DatabaseClock:
    """The database's time without a round trip for each look: an offset to a steady clock.

    A node's wall clock may jump; the steady one may not, and it is set against the database again
    every 30 seconds. Guards on leases compare with `database_time()` inside the statement all the same.
    """

    RESYNC_SECONDS = 30.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Both in one: a thread must never add the one's seconds to the other's time.
        self._set = (datetime.min.replace(tzinfo=UTC), float("-inf"))

    def now(self, connection: Connection | None = None) -> datetime:
        """The database's time. With a connection at hand, it is used when the offset has grown old."""
        at, set_at = self._set
        if steady_seconds() - set_at > self.RESYNC_SECONDS:
            self._resync(connection)
            at, set_at = self._set
        return at + timedelta(seconds=steady_seconds() - set_at)

    def _resync(self, connection: Connection | None) -> None:
        if connection is None:
            with self._engine.connect() as own:
                self._resync(own)
            return
        before = steady_seconds()
        answer = connection.execute(select(database_time())).scalar_one()
        self._set = (answer, (before + steady_seconds()) / 2)


# Deadlock, lock wait timeout, record changed (snapshot isolation, Galera), serialisation failure.
TRANSIENT_MYSQL = {1213, 1205, 1020}
TRANSIENT_POSTGRESQL = {"40001", "40P01", "55P03"}
GONE_MYSQL = {
    1040,
    1044,
    1045,
    1053,
    1077,
    1079,
    1129,
    1152,
    1203,
    1927,
    2002,
    2003,
    2006,
    2013,
    2014,
    2055,
    4031,
}

GONE_SQLITE = {5, 6, 8, 10, 13, 14}  # busy, locked, read-only, input or output error, disk full, cannot open


def is_transient(error: exc.DBAPIError) -> bool:
    """Whether the transaction was rolled back whole and may simply be tried again."""
    original = error.orig
    if getattr(original, "sqlstate", None) in TRANSIENT_POSTGRESQL:
        return True
    return bool(original and original.args and original.args[0] in TRANSIENT_MYSQL)


def has_timed_out(error: Exception) -> bool:
    """Whether PyMySQL gave a read up. It calls that a lost connection, as it is from then on."""
    return isinstance(getattr(getattr(error, "orig", None), "__context__", None), TimeoutError)


def is_unavailable(error: Exception) -> bool:
    """Whether the database is away, starting, full or overloaded, rather than the statement wrong."""
    if isinstance(error, exc.TimeoutError):  # the pool's
        return True
    if not isinstance(error, exc.DBAPIError):
        return False
    if error.connection_invalidated or is_transient(error):
        return True
    original = error.orig
    sqlite = getattr(original, "sqlite_errorcode", None)
    if sqlite is not None:
        return sqlite & 0xFF in GONE_SQLITE  # the rest of the number says more of the same
    code = original.args[0] if original and original.args else None
    if code in GONE_MYSQL or code in (1021, 1114):  # disk full, table full
        return True
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str) and state[:2] in ("08", "53", "57"):
        return True
    if isinstance(error, exc.OperationalError) and state is None and not isinstance(code, int):
        return True  # psycopg's failure to connect
    return isinstance(error, exc.InterfaceError)


@contextmanager
def advisory(engine: Engine) -> Iterator[None]:
    """Hold the schema's upgrade lock, so that two replicas that start together migrate once. The engine is
    one without `limits`."""
    if engine.dialect.name == "sqlite":
        with _turn_at_file(engine.url.database or ""):
            yield
        return
    take, give_back = UPGRADE_LOCK[engine.dialect.name]
    # In no transaction: the database ends those that stand idle, and with them the lock of a long upgrade.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(text(take)).scalar():
            pass
        try:
            yield
        finally:
            connection.execute(text(give_back))


UPGRADE_LOCK = {
    # Ten seconds, and again: the answer must come before the connection's time limit for reads.
    "mysql": ("SELECT GET_LOCK('botswain-migrate', 10)", "SELECT RELEASE_LOCK('botswain-migrate')"),
    "postgresql": ("SELECT 1 FROM pg_advisory_lock(4500)", "SELECT pg_advisory_unlock(4500)"),
}


@contextmanager
def _turn_at_file(path: str) -> Iterator[None]:
    """A lock by an empty database beside the real one: freed also when its holder is killed.

    The real one cannot serve. Who opens it while another turns it to WAL for the first time can be told
    «database is locked» at once, whatever the busy timeout.
    """
    if path in ("", ":memory:") or path.startswith("file:"):
        yield
        return
    turn = sqlite3.connect(f"{path}-migration", timeout=120, isolation_level=None)
    try:
        turn.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        turn.close()
