"""Databases for tests: empty ones, and a migrated one that is put back to its first contents for each test.

Measured on two cores, 25 tables: CREATE DATABASE takes 1 ms on MariaDB and 40 ms on PostgreSQL, the tables
then 130 to 160 ms on either, PostgreSQL's TEMPLATE 60 to 250 ms, and deleting all rows of 25 tables 7 to 9
ms. So a server migrates once and deletes rows between tests, and SQLite copies a file.
"""

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from tests.servers.contents import Contents

Migrate = Callable[[str], None]


class Databases(ABC):
    """Gives out databases of one dialect, by URL with password."""

    @abstractmethod
    def empty(self) -> str:
        """A new database without any table."""

    @abstractmethod
    def migrated(self, migrate: Migrate) -> str:
        """A database as `migrate(url)` leaves it, schema and first rows; `migrate` runs once.

        On a server it is the same database each time, so connections that an earlier test left open are
        ended, and a test that changes the schema takes `empty()`. Numbers given by the database go on where
        they were.
        """

    @abstractmethod
    def drop(self, url: str) -> None:
        """Remove a database that `empty()` gave."""

    @abstractmethod
    def close(self) -> None:
        """Remove what is left."""


class SqliteDatabases(Databases):
    """Files in `folder`, which is removed by whoever made it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template: Path | None = None

    def empty(self) -> str:
        return _sqlite_url(self._new_file())

    def migrated(self, migrate: Migrate) -> str:
        if self._template is None:
            template = self._new_file()
            migrate(_sqlite_url(template))
            self._template = template
        copy = self._new_file()
        # Not a copy of the file: a write-ahead log beside it can hold the newest pages.
        source, target = sqlite3.connect(self._template), sqlite3.connect(copy)
        with source, target:
            source.backup(target)
        source.close()
        target.close()
        return _sqlite_url(copy)

    def drop(self, url: str) -> None:
        database = make_url(url).database
        if database is None:
            return
        for ending in ("", "-wal", "-shm"):
            Path(database + ending).unlink(missing_ok=True)

    def close(self) -> None:
        pass

    def _new_file(self) -> Path:
        return self._folder / f"botswain-{token_hex(4)}.sqlite3"


class ServerDatabases(Databases):
    """Databases on one server, named `botswain_test_…`; the account of `server_url` may create them."""

    def __init__(self, server_url: str) -> None:
        self._url = make_url(server_url)
        # No pool: a connection that lies about can keep a database from being dropped.
        self._server = create_engine(self._url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self._names: set[str] = set()
        self._migrated: Engine | None = None
        self._first = Contents({})

    def empty(self) -> str:
        return _with_password(self._create())

    def migrated(self, migrate: Migrate) -> str:
        if self._migrated is None:
            url = self._create()
            migrate(_with_password(url))
            self._migrated = create_engine(url, poolclass=NullPool)
            self._first = Contents.of(self._migrated)
        else:
            self._end_connections(self._migrated.url.database or "")
            self._first.restore(self._migrated)
        return _with_password(self._migrated.url)

    def drop(self, url: str) -> None:
        name = make_url(url).database or ""
        self._end_connections(name)  # an open transaction of the test would make DROP wait for it
        with self._server.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        self._names.discard(name)

    def close(self) -> None:
        for name in sorted(self._names):
            self.drop(_with_password(self._url.set(database=name)))

    def _create(self) -> URL:
        name = f"botswain_test_{token_hex(6)}"
        collation = "" if self._url.get_backend_name() == "postgresql" else " CHARACTER SET utf8mb4"
        with self._server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}{collation}"))
        self._names.add(name)
        return self._url.set(database=name)

    def _end_connections(self, name: str) -> None:
        with self._server.connect() as connection:
            if self._url.get_backend_name() == "postgresql":
                connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                    {"name": name},
                )
                return
            clients = text("SELECT id FROM information_schema.processlist WHERE db = :name")
            for (client,) in connection.execute(clients, {"name": name}).all():
                with contextlib.suppress(OperationalError):  # it has left by itself meanwhile
                    connection.execute(text(f"KILL {client:d}"))


def _sqlite_url(path: Path) -> str:
    return f"sqlite:///{path}"


def _with_password(url: URL) -> str:
    return url.render_as_string(hide_password=False)
