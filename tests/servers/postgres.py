"""A real PostgreSQL server. It refuses to run as root, so root starts it under another account."""

import contextlib
import os
import pwd
import shutil
import signal
from pathlib import Path
from typing import ClassVar

import psycopg

from tests.servers.programs import find
from tests.servers.server import MissingServerError, Server

USER, PASSWORD = "botswain", "postgres-password-of-the-tests"

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",  # a container's /dev/shm can be too small
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres(Server):
    """PostgreSQL of Debian's package `postgresql`; `settings` are further parameters, by name."""

    name: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # SIGTERM would wait for every client to leave
    # SIGKILL would leave shared memory and its other processes behind.
    death_signal: ClassVar[signal.Signals] = signal.SIGQUIT

    def __init__(self, parent: Path | None = None, *, settings: dict[str, str] | None = None) -> None:
        self._server = find("postgres", package="postgresql")
        self._initdb = _beside(self._server, "initdb")
        self._settings = {**SETTINGS, **(settings or {})}
        self.account = _account()
        super().__init__(parent)

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        if self.account:
            shutil.chown(self.folder, self.account)
            shutil.chown(password, self.account)
        self.run(
            [
                self._initdb,
                f"--pgdata={self.data}",
                f"--username={USER}",
                f"--pwfile={password}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ]
        )

    def command(self) -> list[str]:
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        return [self._server, "-D", str(self.data), f"--port={self.port}", *settings]

    def answers(self) -> bool:
        url = self.url.replace("+psycopg", "")
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(url, connect_timeout=2).close()
            return True
        return False


def _beside(server: str, name: str) -> str:
    """The program of the same PostgreSQL version; `server` can be a link into its folder."""
    path = Path(server).resolve().with_name(name)
    return str(path) if path.exists() else find(name, package="postgresql")


def _account() -> str | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise MissingServerError("PostgreSQL does not run as root, and there is no account postgres or nobody")
