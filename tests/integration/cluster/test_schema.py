"""The schema: what the migrations make is what the models say, and once only."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, insert, inspect, make_url, select, text

from orchestrator import schema
from orchestrator.database import Base, engine_options, prepare
from orchestrator.schema import SchemaRevision
from orchestrator.tasks.model import PARTITIONS, Partition
from tests.integration.conftest import on

# Tables without a tenant, each with its reason.
WITHOUT_TENANT = {
    "tenants": "the tenants themselves",
    "nodes": "every tenant's work runs on them",
    "leases": "rights of the cluster",
    "duties": "how the master's maintenance fares, for all tenants",
    "schema_revisions": "the schema is one for all",
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
    assert "no schema yet" in (schema.problem(engine) or "")
    before, after = schema.migrate(engine)
    assert before is None
    assert after is not None
    assert schema.problem(engine) is None
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


@pytest.mark.parametrize(
    ("theirs", "oldest", "sentence"),
    [
        ("9999", "OWN", None),  # the version after this one: this one goes on
        ("9999", "0001", None),
        ("9999", "9998", "too new for this version"),
        ("9999", None, "too new for this version"),
        ("0001", None, "is older than this version's"),
    ],
)
@on("sqlite", "mariadb")
def test_code_runs_with_a_newer_schema_that_says_so_and_with_no_older_one(
    engine: Engine, theirs: str, oldest: str | None, sentence: str | None
) -> None:
    schema.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": theirs})
        if oldest is not None:
            own = schema.newest() if oldest == "OWN" else oldest
            row = {"revision": theirs, "oldest_code": own, "applied_at": datetime.now(UTC)}
            connection.execute(insert(SchemaRevision), row)
    found = schema.problem(engine)
    if sentence is None:
        assert found is None
        assert schema.migrate(engine) == (theirs, theirs)  # and leaves it as it is
    else:
        assert found is not None
        assert sentence in found


@on("sqlite")
def test_each_migration_from_the_sixth_on_says_in_the_database_how_old_code_may_be(engine: Engine) -> None:
    schema.migrate(engine)
    with engine.connect() as connection:
        rows = connection.execute(select(SchemaRevision.revision, SchemaRevision.oldest_code)).all()
    assert schema.newest() in {row.revision for row in rows}
    assert all(row.oldest_code <= row.revision for row in rows)


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
