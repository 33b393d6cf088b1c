"""A real MariaDB server, small, and as durable and isolated as production."""

import os
from pathlib import Path
from typing import ClassVar

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from tests.servers.programs import find
from tests.servers.server import Server

USER, PASSWORD = "botswain", "mariadb-password-of-the-tests"

# Run at each start, by root, with no client connected yet.
WELCOME = f"""\
CREATE DATABASE IF NOT EXISTS botswain CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1';
"""

SETTINGS = [
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--transaction-isolation=READ-COMMITTED",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=32M",
    "--innodb-log-buffer-size=2M",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--performance-schema=OFF",
    "--max-connections=300",
]


class MariaDB(Server):
    """MariaDB of Debian's package `mariadb-server`; `settings` are further options of mariadbd."""

    name: ClassVar[str] = "mariadb"

    def __init__(self, parent: Path | None = None, *, settings: list[str] | None = None) -> None:
        self._server = find("mariadbd", package="mariadb-server")
        self._install = find("mariadb-install-db", package="mariadb-server")
        self._settings = [*SETTINGS, *(settings or [])]
        super().__init__(parent)

    @property
    def url(self) -> str:
        return f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/botswain?charset=utf8mb4"

    def prepare(self) -> None:
        (self.folder / "welcome.sql").write_text(WELCOME)
        self.run(
            [
                self._install,
                "--no-defaults",
                *self._as_root(),
                f"--datadir={self.data}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ]
        )

    def command(self) -> list[str]:
        return [
            self._server,
            "--no-defaults",
            *self._as_root(),
            f"--datadir={self.data}",
            f"--port={self.port}",
            f"--socket={self.folder / 'mariadb.sock'}",
            f"--pid-file={self.folder / 'mariadb.pid'}",
            f"--init-file={self.folder / 'welcome.sql'}",
            *self._settings,
        ]

    def answers(self) -> bool:
        patience = {"connect_timeout": 2, "read_timeout": 2}
        try:
            create_engine(self.url, poolclass=NullPool, connect_args=patience).connect().close()
        except SQLAlchemyError:
            return False
        return True

    @staticmethod
    def _as_root() -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []
