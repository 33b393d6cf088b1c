"""Servers and databases for every ring of tests.

`database_url` and `migrated_database_url` run a test once for each of sqlite, mariadb and postgres (`-k
mariadb` selects one). MariaDB and PostgreSQL are started once in a run, Redis once in a worker process;
TEST_MARIADB_URL, TEST_POSTGRES_URL and TEST_REDIS_URL name servers to use instead. A server that is not
installed skips the tests that need it, unless BOTSWAIN_REQUIRE_SERVICES=1 says that it must be there.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from sqlalchemy import create_engine, make_url
from structlog.processors import add_log_level

from tests.servers import MariaDB, MissingServerError, Postgres, Redis, Server
from tests.servers.databases import Databases, Migrate, ServerDatabases, SqliteDatabases
from tests.servers.processes import die_with_parent
from tests.servers.shared import end_run, shared_url

RUN_FOLDER = pytest.StashKey[Path]()
LONG_SECONDS = 200  # a test that may take so long is one of those that start whole clusters


def pytest_configure(config: pytest.Config) -> None:
    _show_plain_tracebacks()
    workerinput: dict[str, Any] | None = getattr(config, "workerinput", None)
    if workerinput is not None:
        config.stash[RUN_FOLDER] = Path(workerinput["botswain_run_folder"])
        if end_with_parent := die_with_parent(signal.SIGKILL):
            end_with_parent()  # and the servers with this worker process, when somebody kills pytest
        return
    folder = Path(tempfile.mkdtemp(prefix="botswain-tests-"))
    folder.chmod(0o711)  # PostgreSQL, under its own account, passes through
    config.stash[RUN_FOLDER] = folder
    config.add_cleanup(lambda: end_run(folder))


def _show_plain_tracebacks() -> None:
    """structlog's own way draws the variables of every frame: up to half a second for each that is logged."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, add_log_level, plain])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["botswain_run_folder"] = str(node.config.stash[RUN_FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many again as there are processors: much of a run is waiting for real processes and leases."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ or not sys.platform.startswith("linux"):
        return None  # xdist's own answer
    return len(os.sched_getaffinity(0)) * 3 // 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, as they would else be what everybody waits for in the end.

    So one worker process has them all, until the others have nothing left to do and take of them: two or
    three clusters that start at once would starve each other.
    """
    items.sort(key=lambda item: not _is_long(item))


def _is_long(item: pytest.Item) -> bool:
    allowed = item.get_closest_marker("timeout")
    return allowed is not None and bool(allowed.args) and allowed.args[0] >= LONG_SECONDS


def missing(reason: object) -> None:
    """Skip the test, or fail it where every service must be there."""
    if os.environ.get("BOTSWAIN_REQUIRE_SERVICES") == "1":
        pytest.fail(f"BOTSWAIN_REQUIRE_SERVICES=1, but {reason}", pytrace=False)
    pytest.skip(str(reason))


def private(make: Callable[[], Server]) -> Iterator[Any]:
    """A server of one test alone, which may kill and pause it."""
    try:
        server = make()
    except MissingServerError as reason:
        missing(reason)
    else:
        with server:
            yield server


def shared(make: Callable[[Path], Server], run_folder: Path, name: str) -> str:
    """The URL of the run's server, given from outside or started here."""
    if url := os.environ.get(f"TEST_{name.upper()}_URL"):
        return url
    try:
        return shared_url(make, run_folder, name)
    except MissingServerError as reason:
        missing(reason)
        raise


@pytest.fixture(scope="session")
def run_folder(pytestconfig: pytest.Config) -> Path:
    """The folder of this run, shared by all worker processes and removed at the end; its name is short."""
    return pytestconfig.stash[RUN_FOLDER]


@pytest.fixture(scope="session")
def mariadb_url(run_folder: Path) -> str:
    """The run's MariaDB server; its databases are for `database_url` to give out."""
    return shared(MariaDB, run_folder, "mariadb")


@pytest.fixture(scope="session")
def postgres_url(run_folder: Path) -> str:
    """The run's PostgreSQL server; its databases are for `database_url` to give out."""
    return shared(Postgres, run_folder, "postgres")


@pytest.fixture(scope="session", params=["sqlite", "mariadb", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    """One of the three; `@pytest.mark.parametrize("dialect", ["mariadb"], indirect=True)` narrows them."""
    return str(request.param)


def databases_of(
    dialect: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """What gives out databases of a dialect, until the fixture that yields from this is over."""
    given: Databases
    if dialect == "sqlite":
        given = SqliteDatabases(tmp_path_factory.mktemp("sqlite"))
    else:
        given = ServerDatabases(request.getfixturevalue(f"{dialect}_url"))
    yield given
    given.close()


@pytest.fixture(scope="session")
def databases(
    dialect: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """What gives out databases of this dialect in this worker process."""
    yield from databases_of(dialect, request, tmp_path_factory)


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A new database without tables."""
    url = databases.empty()
    yield url
    databases.drop(url)


@pytest.fixture(scope="session")
def migrate() -> Migrate:
    """Brings the database of a URL to the newest schema; run once for each dialect in a worker process."""

    def upgrade(url: str) -> None:
        # Here, so that tests of the robot alone do not wait for the orchestrator's imports.
        from orchestrator import database, schema

        engine = create_engine(url, **database.engine_options(make_url(url)))
        schema.migrate(database.prepare(engine))
        engine.dispose()

    return upgrade


@pytest.fixture
def migrated_database_url(databases: Databases, migrate: Migrate) -> str:
    """A database with the newest schema and the rows that the migrations left, and no others."""
    return databases.migrated(migrate)


@pytest.fixture(scope="session")
def worker_redis_url(run_folder: Path, worker_id: str) -> Iterator[str]:
    """The Redis of this worker process: a server of its own, or a database of the given server."""
    if url := os.environ.get("TEST_REDIS_URL"):
        number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
        yield f"{url.rsplit('/', 1)[0]}/{number}"
        return
    for server in private(lambda: Redis(run_folder)):
        yield server.url


@pytest.fixture
def redis_url(worker_redis_url: str) -> str:
    """A real, empty Redis; published messages stay within the worker process unless TEST_REDIS_URL is set."""
    with redis.Redis.from_url(worker_redis_url) as client:
        client.flushdb()
    return worker_redis_url


@pytest.fixture
def mariadb_server(run_folder: Path) -> Iterator[MariaDB]:
    """A MariaDB server of this test alone, to kill, pause and restart; it starts in about a second."""
    yield from private(lambda: MariaDB(run_folder))


@pytest.fixture
def postgres_server(run_folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL server of this test alone, to kill, pause and restart; it starts in about a second."""
    yield from private(lambda: Postgres(run_folder))


@pytest.fixture
def redis_server(run_folder: Path) -> Iterator[Redis]:
    """A Redis server of this test alone, to kill, pause and restart; it keeps every write on disk."""
    yield from private(lambda: Redis(run_folder, append_only=True))
