"""Whether a SQLite file has the newest schema: a look of a millisecond saves a second of starting."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator import migrations


def is_current(database_url: str) -> bool:
    """False also wherever that cannot be known; `botswain migrate` then finds out."""
    scheme, separator, path = database_url.partition(":///")
    if not separator or not scheme.startswith("sqlite") or not Path(path).is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", uri=True, timeout=1)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return False
    return rows == [(migrations.newest(),)]
