"""Real MariaDB, PostgreSQL and Redis servers: temporary folders, free ports, gone with the test process."""

from tests.servers.mariadb import MariaDB
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis
from tests.servers.server import MissingServerError, Server, ServerFailedError

__all__ = ["MariaDB", "MissingServerError", "Postgres", "Redis", "Server", "ServerFailedError"]
