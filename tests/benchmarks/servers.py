"""The servers of a run: the tests' own, with memory enough for a million rows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from tests.servers import MariaDB, Redis

MEMORY = ["--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M", "--innodb-log-buffer-size=16M"]


@dataclass(frozen=True)
class Servers:
    """Starts what is asked for, in one folder that goes with the run."""

    folder: Path

    @contextlib.contextmanager
    def redis(self) -> Iterator[str]:
        """The URL of a new Redis, without its number of a database: add /0, /1 …"""
        with Redis(self.folder) as server:
            yield server.url.rpartition("/")[0]

    @contextlib.contextmanager
    def mariadb(self) -> Iterator[str]:
        """The URL of a new MariaDB: durable, READ COMMITTED, with a database `botswain`."""
        with MariaDB(self.folder, settings=MEMORY) as server:
            yield server.url

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URL of an empty database on `sqlite` or on a new `mariadb`."""
        if name == "mariadb":
            with self.mariadb() as url:
                yield url
        else:
            yield f"sqlite:///{self.folder / 'benchmark.sqlite3'}"


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="botswain-bench-") as folder:
        Path(folder).chmod(0o711)
        yield Servers(Path(folder))


def new_database(server_url: str, name: str) -> str:
    """The URL of a new database beside that of `server_url`."""
    engine = create_engine(server_url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    engine.dispose()
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)
