"""What the three databases must do alike: time, times, and how they are away."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, bindparam, create_engine, literal, make_url, select, update

from orchestrator import database
from orchestrator.database import DatabaseClock, UtcDateTime, database_time, engine_options, prepare
from orchestrator.errors import Unavailable
from orchestrator.tasks.model import Partition
from orchestrator.transaction import Transactions
from tests.integration.cluster.test_transactions import new_connections, value
from tests.integration.conftest import on
from tests.integration.scene import Scene, race
from tests.servers import MariaDB, Postgres


def ask(work: Transactions) -> int:
    return work.run(lambda tx: int(tx.execute(select(literal(1))).scalar_one()), tenant_id=1)


# Time ---------------------------------------------------------------------------------------------------


def test_times_come_back_as_they_went_in_to_the_microsecond(scene: Scene) -> None:
    moscow = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=3)))
    scene.run(lambda tx: tx.execute(update(Partition).values(lease_until=moscow)))
    query = select(Partition.lease_until).where(Partition.id == 1)
    back = scene.run(lambda tx: tx.execute(query).scalar_one())
    assert back == moscow
    assert back.tzinfo is UTC


@on("sqlite")
def test_a_naive_time_is_refused(scene: Scene) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(Exception, match="naive"):
        scene.run(lambda tx: tx.execute(select(bindparam("at", naive, type_=UtcDateTime()))))


def test_the_databases_time_is_utc_moves_on_and_orders_with_stored_times(scene: Scene) -> None:
    def look(tx: Any) -> tuple[Any, Any, bool, bool]:
        first = tx.execute(select(database_time())).scalar_one()
        while (second := tx.execute(select(database_time())).scalar_one()) == first:
            pass  # SQLite's moves by the millisecond
        early, late = (
            tx.execute(select(bindparam("at", at, type_=UtcDateTime()) < database_time())).scalar_one()
            for at in (first - timedelta(seconds=1), first + timedelta(seconds=60))
        )
        return first, second, bool(early), bool(late)

    first, second, early, late = scene.run(look)
    assert abs(first - datetime.now(UTC)) < timedelta(seconds=30)
    assert second > first
    assert (early, late) == (True, False)


def test_a_wall_clock_that_jumps_changes_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = DatabaseClock(scene.transactions.engine)
    before = clock.now()
    real = time.time
    for jump in (86_400, -86_400):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert timedelta(0) <= clock.now() - before < timedelta(seconds=20)
    true = scene.past(0)
    assert abs(clock.now() - true) < timedelta(seconds=5)


@on("sqlite")
def test_the_clock_is_set_again_after_half_a_minute_and_not_before(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = DatabaseClock(scene.transactions.engine)
    looks: list[bool] = []
    resync = clock._resync

    def look(connection: Any) -> None:
        looks.append(connection is None)
        resync(connection)

    monkeypatch.setattr(clock, "_resync", look)
    began = database.steady_seconds()
    for elapsed in (0, 29, 31, 60, 62):
        monkeypatch.setattr(database, "steady_seconds", lambda elapsed=elapsed: began + elapsed)
        clock.now()
    assert sum(looks) == 3


# SQLite -------------------------------------------------------------------------------------------------


def write_fifty_times(url: str) -> None:
    """In a process of its own: read, then write what was read and one."""
    with new_connections(url) as work:

        def step(tx: Any) -> None:
            seen = tx.execute(select(Partition.next_seq).where(Partition.id == 5)).scalar_one()
            tx.execute(update(Partition).where(Partition.id == 5).values(next_seq=seen + 1))

        for _ in range(50):
            work.run(step, tenant_id=1)


@on("sqlite")
def test_eight_processes_that_read_and_then_write_are_never_locked_out(
    scene: Scene, migrated_database_url: str
) -> None:
    before = value(scene, 5)
    scene.transactions.engine.dispose()
    forking = multiprocessing.get_context("fork")
    writers = [forking.Process(target=write_fifty_times, args=(migrated_database_url,)) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0] * 8
    assert value(scene, 5) == before + 400


@on("sqlite")
def test_a_reader_is_not_held_up_by_a_writer(scene: Scene) -> None:
    def write(tx: Any) -> Any:
        return scene.transactions.run(
            lambda own: own.execute(select(literal(1))).scalar_one(), tenant_id=1, read_only=True
        )

    assert scene.run(write) == 1


@on("sqlite")
def test_a_full_disk_is_an_outage_and_changes_nothing(scene: Scene) -> None:
    scene.transactions.engine.dispose()
    guids = scene.create(2)

    def fill(tx: Any) -> None:
        tx.connection.exec_driver_sql("PRAGMA max_page_count = 1")  # it is no less than what there is
        tx.connection.exec_driver_sql("CREATE TABLE filler AS SELECT randomblob(8000000) AS x")

    with pytest.raises(Unavailable):
        scene.run(fill)
    scene.transactions.engine.dispose()
    assert scene.job(guids[0]).status == 0
    with pytest.raises(Exception, match="no such table"):
        scene.run(lambda tx: tx.connection.exec_driver_sql("SELECT 1 FROM filler"))


# Away ---------------------------------------------------------------------------------------------------


def test_a_mariadb_that_is_paused_stopped_or_overrun_is_unavailable_and_comes_back(
    mariadb_server: MariaDB,
) -> None:
    with new_connections(mariadb_server.url, read_timeout=1, connect_timeout=1) as work:
        assert ask(work) == 1
        mariadb_server.pause()
        with pytest.raises(Unavailable):  # the connection that it had, and then new ones
            ask(work)
        mariadb_server.resume()
        assert ask(work) == 1
        mariadb_server.restart()
        assert ask(work) == 1, "a connection that died while nobody looked is no outage"
        with overrun(work.engine, "SET GLOBAL max_connections = 10", 20):
            pass
        with pytest.raises(Unavailable):
            work.run(full_table, tenant_id=1)
        mariadb_server.kill()
        with pytest.raises(Unavailable):
            ask(work)
        mariadb_server.start()
        assert ask(work) == 1


@contextmanager
def overrun(engine: Engine, statement: str, connections: int) -> Iterator[None]:
    """Open connections until the server refuses one, which must count as an outage."""
    with engine.connect() as first:
        first.exec_driver_sql(statement)
    others = [Transactions(create_engine(engine.url)) for _ in range(connections)]
    held: list[Connection] = []
    try:
        refused = False
        while others[len(held) :] and not refused:
            try:
                ask(others[len(held)])
            except Unavailable:
                refused = True
            else:
                held.append(others[len(held)].engine.connect())
        assert refused
        yield
    finally:
        for connection in held:
            connection.close()
        for other in others:
            other.engine.dispose()


def full_table(tx: Any) -> None:
    run = tx.connection.exec_driver_sql
    run("SET SESSION max_heap_table_size = 16384")
    run("CREATE TEMPORARY TABLE filler (x CHAR(255)) ENGINE=MEMORY")
    run("INSERT INTO filler SELECT REPEAT('x', 250) FROM information_schema.columns")


def test_a_postgres_that_ends_connections_or_is_stopped_is_unavailable_and_comes_back(
    postgres_server: Postgres,
) -> None:
    with new_connections(postgres_server.url) as work:
        assert ask(work) == 1
        postgres_server.restart()
        assert ask(work) == 1
        postgres_server.kill()
        with pytest.raises(Unavailable):
            ask(work)
        postgres_server.start()
        assert ask(work) == 1


@on("postgres")
def test_a_backend_that_is_ended_in_mid_transaction_is_tried_again(scene: Scene) -> None:
    tries: list[int] = []

    def work(tx: Any) -> int:
        tries.append(1)
        if len(tries) == 1:
            pid = tx.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            end = f"SELECT pg_terminate_backend({int(pid)})"
            race(lambda: scene.run(lambda other: other.connection.exec_driver_sql(end)))
        return int(tx.execute(select(literal(1))).scalar_one())

    assert scene.run(work) == 1
    assert len(tries) == 2


@on("sqlite")
def test_a_pool_that_is_used_up_is_unavailable(migrated_database_url: str) -> None:
    options = engine_options(make_url(migrated_database_url)) | {
        "pool_size": 1,
        "max_overflow": 0,
        "pool_timeout": 0.05,
    }
    engine = prepare(create_engine(migrated_database_url, **options))
    work = Transactions(engine)
    with engine.connect(), pytest.raises(Unavailable):
        ask(work)
    engine.dispose()
