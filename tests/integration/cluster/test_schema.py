"""The schema: what the migrations make is what the models say, and once only."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, make_url, select

from orchestrator import schema
from orchestrator.database import Base, engine_options, prepare
from orchestrator.tasks.model import PARTITIONS, Partition

# Tables without a tenant, each with its reason.
WITHOUT_TENANT = {
    "tenants": "the tenants themselves",
    "nodes": "every tenant's work runs on them",
    "leases": "rights of the cluster",
    "duties": "how the master's maintenance fares, for all tenants",
    "partitions": "slices of the tasks of all tenants",
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = prepare(create_engine(database_url, **engine_options(make_url(database_url))))
    yield engine
    engine.dispose()


def test_every_table_names_its_tenant_but_those_of_the_cluster() -> None:
    tables = schema.metadata().tables
    assert {name for name, table in tables.items() if "tenant_id" not in table.columns} == set(WITHOUT_TENANT)
    for name in set(tables) - set(WITHOUT_TENANT):
        assert not tables[name].columns["tenant_id"].nullable, name


def test_the_migrations_make_what_the_models_say_and_take_it_back(engine: Engine) -> None:
    assert not schema.is_current(engine)
    before, after = schema.migrate(engine)
    assert before is None
    assert after is not None
    assert schema.is_current(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        partitions = connection.execute(select(Partition.id).order_by(Partition.id)).scalars().all()
        assert partitions == list(range(PARTITIONS))
    assert schema.migrate(engine) == (after, after)
    with engine.connect() as connection:
        command.downgrade(schema._alembic(connection), "base")
        connection.commit()
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    assert schema.migrate(engine) == (None, after)


def migrate(url: str) -> tuple[str | None, str | None]:
    """In a process of its own, as replicas do."""
    engine = prepare(create_engine(url, **engine_options(make_url(url))))
    try:
        return schema.migrate(engine)
    finally:
        engine.dispose()


def test_replicas_that_start_together_migrate_once(database_url: str) -> None:
    with multiprocessing.get_context("fork").Pool(3) as replicas:
        outcomes = replicas.map(migrate, [database_url] * 3, chunksize=1)
    assert sorted(before is None for before, _ in outcomes) == [False, False, True], outcomes
    assert len({after for _, after in outcomes}) == 1
