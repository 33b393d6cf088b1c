"""What tests of storage rely on: each begins with an empty or freshly migrated database."""

from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine, NullPool, create_engine, inspect, text

from tests.conftest import databases_of
from tests.servers.databases import Databases, Migrate


def engine_of(url: str) -> Engine:
    return create_engine(url, poolclass=NullPool)


@pytest.fixture(scope="module")
def databases(
    dialect: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Databases]:
    """This module's own: the worker process's may have been migrated by other tests already."""
    yield from databases_of(dialect, request, tmp_path_factory)


@pytest.fixture(scope="session")
def migrate() -> Migrate:
    """A small schema with a circle of foreign keys and one first row."""

    def create(url: str) -> None:
        with engine_of(url).begin() as connection:
            connection.execute(
                text("CREATE TABLE part (id INTEGER PRIMARY KEY, above INTEGER REFERENCES part (id))")
            )
            connection.execute(text("INSERT INTO part VALUES (1, NULL)"))

    return create


@pytest.mark.parametrize("turn", [1, 2])
def test_database_url_is_empty(database_url: str, turn: int) -> None:
    engine = engine_of(database_url)
    assert inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE left_behind (id INTEGER)"))


@pytest.mark.parametrize("turn", [1, 2])
def test_migrated_database_is_as_the_migration_left_it(migrated_database_url: str, turn: int) -> None:
    with engine_of(migrated_database_url).begin() as connection:
        assert connection.execute(text("SELECT id, above FROM part")).all() == [(1, None)]
        connection.execute(text("INSERT INTO part VALUES (2, 1)"))
        connection.execute(text("UPDATE part SET above = 2 WHERE id = 1"))


@pytest.mark.parametrize("dialect", ["mariadb", "postgres"], indirect=True)
def test_forgotten_transaction_of_an_earlier_test_blocks_nobody(
    databases: Databases, migrate: Migrate
) -> None:
    forgotten = engine_of(databases.migrated(migrate)).connect()
    forgotten.execute(text("UPDATE part SET above = 1"))
    with engine_of(databases.migrated(migrate)).connect() as connection:
        assert connection.scalar(text("SELECT above FROM part")) is None
    forgotten.invalidate()


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_url_is_empty(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left behind", "1")
