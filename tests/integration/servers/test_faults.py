"""What tests of faults rely on: what was written survives, the address stays, and nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis
from sqlalchemy import NullPool, create_engine, text

from tests.servers import MariaDB, Postgres, Redis, Server
from tests.servers.processes import family, is_alive
from tests.servers.server import wait_for

PROJECT = Path(__file__).parents[3]


@pytest.fixture(params=["mariadb_server", "postgres_server", "redis_server"])
def server(request: pytest.FixtureRequest) -> Server:
    given = request.getfixturevalue(request.param)
    assert isinstance(given, Server)
    return given


def write(server: Server) -> None:
    if isinstance(server, Redis):
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "1")
        return
    with create_engine(server.url, poolclass=NullPool).begin() as connection:
        connection.execute(text("CREATE TABLE kept (number INTEGER)"))
        connection.execute(text("INSERT INTO kept VALUES (1)"))


def read(server: Server) -> int:
    if isinstance(server, Redis):
        with redis.Redis.from_url(server.url) as client:
            return int(client.get("kept") or 0)
    with create_engine(server.url, poolclass=NullPool).connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM kept")) or 0)


def test_data_and_address_outlive_restart_and_kill(server: Server) -> None:
    address = server.url
    write(server)
    server.restart()
    assert read(server) == 1
    server.kill()
    assert not server.answers()
    server.start()
    assert read(server) == 1
    assert server.url == address


def test_paused_server_accepts_connections_and_says_nothing(server: Server) -> None:
    server.pause()
    assert not server.answers()
    server.resume()
    assert server.answers()


def test_closed_server_leaves_no_process_and_no_folder(server: Server) -> None:
    processes = family(server.pid)
    server.close()
    assert not any(is_alive(pid) for pid in processes)
    assert not server.folder.exists()


PROGRAM = """
import sys
from pathlib import Path
from tests.servers import MariaDB, MissingServerError, Postgres, Redis
try:
    server = {kind}(Path({parent!r})).start()
except MissingServerError:
    sys.exit()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", [MariaDB, Postgres, Redis])
def test_server_dies_with_the_process_that_started_it(kind: type[Server], run_folder: Path) -> None:
    program = PROGRAM.format(kind=kind.__name__, parent=str(run_folder))
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT
    ) as starter:
        assert starter.stdout
        line = starter.stdout.readline()
        if not line:
            pytest.skip(f"no {kind.name} on this machine")
        starter.kill()
    assert wait_for(lambda: not is_alive(int(line)), 10)
