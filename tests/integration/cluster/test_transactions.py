"""Transactions: tried again where nothing can have happened, not where nobody knows; facts after commit."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql  # type: ignore[import-untyped]
import pytest
from sqlalchemy import create_engine, event, insert, make_url, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from orchestrator import database, schema, transaction
from orchestrator.cluster.model import Lease
from orchestrator.database import engine_options, prepare
from orchestrator.errors import Unavailable
from orchestrator.tasks.model import Partition
from orchestrator.transaction import Fact, Transaction, Transactions
from tests.integration.conftest import on
from tests.integration.scene import Scene, race


@dataclass(frozen=True)
class Told(Fact):
    what: str


def advance(tx: Transaction, partition: int) -> None:
    tx.execute(update(Partition).where(Partition.id == partition).values(next_seq=Partition.next_seq + 1))


@contextmanager
def new_connections(url: str, **connect_args: Any) -> Iterator[Transactions]:
    """With the limits of now: a scene shares the connections of those before it."""
    options = engine_options(make_url(url))
    options["connect_args"] |= connect_args
    engine = prepare(create_engine(url, **options))
    yield Transactions(engine)
    engine.dispose()


def value(scene: Scene, partition: int) -> int:
    query = select(Partition.next_seq).where(Partition.id == partition)
    return scene.run(lambda tx: int(tx.execute(query).scalar_one()))


@on("mariadb", "postgres")
def test_a_deadlock_within_a_part_is_the_whole_s(scene: Scene) -> None:
    """Else the rest would go on in a transaction that has lost its beginning, and its locks."""
    both_hold_one = threading.Barrier(2, timeout=20)
    tries = [0, 0]
    before = value(scene, 1), value(scene, 2)

    def cross(number: int, first: int, second: int) -> None:
        def part(tx: Transaction) -> Counter[str]:
            advance(tx, second)
            return Counter(done=1)

        def work(tx: Transaction) -> None:
            tries[number] += 1
            advance(tx, first)
            if tries[number] == 1:
                both_hold_one.wait()
            assert tx.attempt(lambda: part(tx)) == {"done": 1}

        scene.run(work)

    assert race(lambda: cross(0, 1, 2), lambda: cross(1, 2, 1)) == [None, None]
    assert sorted(tries) == [1, 2]
    assert (value(scene, 1), value(scene, 2)) == (before[0] + 2, before[1] + 2)


@on("mariadb", "postgres")
def test_a_deadlock_is_tried_again_and_both_take_place(scene: Scene) -> None:
    both_hold_one = threading.Barrier(2, timeout=20)
    tries = [0, 0]
    before = value(scene, 1), value(scene, 2)

    def cross(number: int, first: int, second: int) -> None:
        def work(tx: Transaction) -> None:
            tries[number] += 1
            advance(tx, first)
            if tries[number] == 1:
                both_hold_one.wait()
            advance(tx, second)

        scene.run(work)

    assert race(lambda: cross(0, 1, 2), lambda: cross(1, 2, 1)) == [None, None]
    assert sorted(tries) == [1, 2]
    assert (value(scene, 1), value(scene, 2)) == (before[0] + 2, before[1] + 2)


@on("mariadb", "postgres")
def test_who_is_cut_off_in_mid_transaction_holds_nobody_up(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection stays open, as a paused machine's does; the server ends the transaction."""
    monkeypatch.setattr(database, "IDLE_TRANSACTION_SECONDS", 1)
    with Scene.open(migrated_database_url) as cut_off, Scene.open(migrated_database_url) as other:
        before = value(other, 1)
        connection = cut_off.transactions.engine.connect()
        connection.execute(update(Partition).where(Partition.id == 1).values(next_seq=before + 100))
        other.run(lambda tx: advance(tx, 1))  # waits for the row, or the database's patience would end
        with pytest.raises(DBAPIError):
            connection.commit()
        connection.invalidate()
        assert value(other, 1) == before + 1


@on("mariadb", "postgres")
def test_a_lock_that_never_comes_free_is_waited_for_some_times_and_then_unavailable(
    scene: Scene, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_WAIT_SECONDS", 1)
    monkeypatch.setattr(transaction, "ATTEMPTS", 2)
    tries = []

    def impatient(tx: Transaction) -> None:
        tries.append(1)
        advance(tx, 1)

    with new_connections(migrated_database_url) as others:

        def holder(tx: Transaction) -> Any:
            advance(tx, 1)
            (outcome,) = race(lambda: others.run(impatient, tenant_id=1))
            return outcome

        before = value(scene, 1)
        assert isinstance(scene.run(holder), Unavailable)
        assert len(tries) == 2
        assert value(scene, 1) == before + 1
        others.run(impatient, tenant_id=1)  # the connection is as good as before
        assert value(scene, 1) == before + 2


@on("mariadb", "postgres")
def test_a_statement_without_an_end_is_given_up(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the second time at the latest: at the first the connection may have been at fault."""
    monkeypatch.setattr(database, "STATEMENT_SECONDS", 1)
    sleep = "SELECT SLEEP(30)" if migrated_database_url.startswith("mysql") else "SELECT pg_sleep(30)"
    tries: list[int] = []

    def work(tx: Transaction) -> None:
        tries.append(1)
        tx.connection.exec_driver_sql(sleep)

    with new_connections(migrated_database_url) as others, pytest.raises(Unavailable):
        others.run(work, tenant_id=1)
    assert len(tries) <= 2


@on("mariadb", "postgres")
def test_an_upgrade_of_the_schema_has_no_limits(scene: Scene) -> None:
    with schema._without_limits(scene.transactions.engine) as engine, engine.connect() as connection:
        if engine.dialect.name == "mysql":
            assert connection.exec_driver_sql("SELECT @@innodb_lock_wait_timeout").scalar() == 50
            assert connection.connection.dbapi_connection._read_timeout is None  # type: ignore[union-attr]
        else:
            assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "0"


def test_an_errors_text_tells_nothing_of_what_was_written(scene: Scene) -> None:
    def twice(tx: Transaction) -> None:
        lease = {"name": "one", "holder": "a secret", "epoch": 1, "lease_until": tx.now}
        tx.execute(insert(Lease), lease)
        tx.execute(insert(Lease), lease)

    with pytest.raises(IntegrityError) as raised:
        scene.run(twice)
    assert "a secret" not in str(raised.value)


@on("mariadb")
@pytest.mark.parametrize(
    ("moment", "tries", "kept"), [("before", 2, 1), ("at commit", 1, 0), ("answer", 1, 1)]
)
def test_a_lost_connection_is_tried_again_only_before_the_commit(
    scene: Scene, moment: str, tries: int, kept: int
) -> None:
    """«answer»: the commit takes place, and its answer never comes. Then once is not twice."""
    told: list[Told] = []
    scene.transactions.subscribe(Told, told.extend)
    began: list[int] = []
    before = value(scene, 1)
    cut = {"at commit": False, "answer": False}

    def work(tx: Transaction) -> None:
        began.append(1)
        tx.announce(Told("x"))
        advance(tx, 1)
        if moment == "before" and len(began) == 1:
            kill(scene, tx)
            advance(tx, 1)
        if moment in cut:
            cut[moment] = True

    def on_commit(connection: Any) -> None:
        if cut.get(moment) and began:
            cut[moment] = False
            driver = connection.connection.driver_connection
            if moment == "answer":
                driver.commit()
            driver._force_close()
            driver.commit = lose

    def lose() -> None:
        raise pymysql.err.OperationalError(2013, "Lost connection")

    event.listen(scene.transactions.engine, "commit", on_commit)
    try:
        if tries == 2:
            scene.run(work)
        else:
            with pytest.raises(Unavailable):
                scene.run(work)
    finally:
        event.remove(scene.transactions.engine, "commit", on_commit)
    assert len(began) == tries
    assert value(scene, 1) == before + kept
    assert told == ([Told("x")] if tries == 2 else [])


def kill(scene: Scene, tx: Transaction) -> None:
    number = tx.connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
    with scene.transactions.engine.connect() as other:
        other.exec_driver_sql(f"KILL {int(number)}")


@on("sqlite")
def test_facts_are_told_after_the_commit_once_and_by_kind_even_if_one_listener_fails(scene: Scene) -> None:
    told: list[tuple[str, Any]] = []
    before = value(scene, 1)

    def fails(facts: list[Told]) -> None:
        raise RuntimeError("this listener is broken")

    def listens(facts: list[Told]) -> None:
        told.append((f"at {value(scene, 1) - before}", list(facts)))

    scene.transactions.subscribe(Told, fails)
    scene.transactions.subscribe(Told, listens)

    def work(tx: Transaction) -> str:
        tx.announce(Told("one"))
        advance(tx, 1)
        tx.announce(Told("two"))
        tx.after_commit(lambda: told.append(("effect", None)))
        assert told == []
        return "done"

    assert scene.run(work) == "done"
    assert told == [("effect", None), ("at 1", [Told("one"), Told("two")])]


@on("sqlite")
def test_what_is_rolled_back_is_told_to_nobody(scene: Scene) -> None:
    told: list[Any] = []
    scene.transactions.subscribe(Told, told.append)

    def work(tx: Transaction) -> None:
        tx.announce(Told("never"))
        tx.after_commit(lambda: told.append("never"))
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        scene.run(work)
    assert told == []


@on("mariadb", "postgres")
def test_a_second_try_tells_its_own_facts_only(scene: Scene) -> None:
    told: list[Told] = []
    scene.transactions.subscribe(Told, told.extend)
    tries: list[int] = []

    def work(tx: Transaction) -> None:
        tries.append(1)
        tx.announce(Told(f"try {len(tries)}"))
        if len(tries) == 1:
            signal = {
                "mysql": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
                "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$",
            }
            tx.connection.exec_driver_sql(signal[tx.connection.dialect.name])

    scene.run(work)
    assert told == [Told("try 2")]


@on("sqlite")
def test_a_wrong_statement_is_no_outage(scene: Scene) -> None:
    with pytest.raises(Exception, match="no such table") as wrong:
        scene.run(lambda tx: tx.connection.exec_driver_sql("SELECT 1 FROM nowhere"))
    assert not isinstance(wrong.value, Unavailable)


def test_a_companion_writes_in_the_transaction_or_undoes_it(scene: Scene) -> None:
    seen = []

    def write(tx: Transaction, facts: list[Any]) -> None:
        seen.append([fact.what for fact in facts])
        advance(tx, 4)
        if facts[0].what == "refused":
            raise ValueError("no")

    def work(*told: str) -> Any:
        def announcing(tx: Transaction) -> None:
            advance(tx, 4)
            for what in told:
                tx.announce(Told(what))

        return scene.run(announcing)

    before = value(scene, 4)
    scene.transactions.accompany(Told, write)
    work()
    work("one", "two")
    assert (seen, value(scene, 4)) == ([["one", "two"]], before + 3)
    with pytest.raises(ValueError, match="no"):
        work("refused")
    assert value(scene, 4) == before + 3
