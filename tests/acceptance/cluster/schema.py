"""Migrated databases in no time: a process for each would take two seconds of processor to start."""

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, make_url

from orchestrator import database, schema


def bring_up_to_date(url: str) -> None:
    """Migrate the database of this URL, in this process; a new SQLite file is a copy of a migrated one."""
    parsed = make_url(url)
    path = Path(parsed.database or "")
    if parsed.get_backend_name() == "sqlite" and not path.exists():
        path.write_bytes(_migrated_file())
    else:
        _migrate(url)


def _migrate(url: str) -> None:
    engine = database.prepare(create_engine(url, **database.engine_options(make_url(url))))
    schema.migrate(engine)
    engine.dispose()


@cache
def _migrated_file() -> bytes:
    """The contents of a SQLite file, which is migrated once in a worker process."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.sqlite3"
        _migrate(f"sqlite:///{path}")
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that the file has everything
        return path.read_bytes()
