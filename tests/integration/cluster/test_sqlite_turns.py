"""Threads of one process take turns at SQLite's right to write, and none keeps its turn after an error."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from orchestrator.database import engine_options, prepare
from orchestrator.errors import Unavailable
from orchestrator.transaction import Transaction, Transactions


@pytest.fixture
def transactions(tmp_path: Path) -> Transactions:
    url = f"sqlite:///{tmp_path / 'turns.sqlite3'}"
    work = Transactions(prepare(create_engine(url, **engine_options(make_url(url)))))
    work.run(lambda tx: tx.execute(text("CREATE TABLE part (n INTEGER)")), tenant_id=1)
    work.run(lambda tx: tx.execute(text("INSERT INTO part VALUES (0)")), tenant_id=1)
    return work


def add(tx: Transaction) -> None:
    tx.execute(text("UPDATE part SET n = n + 1"))


def count(tx: Transaction) -> int:
    return int(tx.execute(text("SELECT n FROM part")).scalar_one())


def test_every_thread_has_its_turn_and_an_error_ends_one(transactions: Transactions) -> None:
    def fail(tx: Transaction) -> None:
        add(tx)
        raise KeyError

    def thread(number: int) -> None:
        for turn in range(20):
            if (number + turn) % 5 == 0:
                with pytest.raises(KeyError):
                    transactions.run(fail, tenant_id=1)
            else:
                transactions.run(add, tenant_id=1)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(thread, range(5)))
    assert transactions.run(count, tenant_id=1, read_only=True) == 80


def test_who_waits_for_a_turn_has_not_begun(transactions: Transactions) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(transactions.run, slow, tenant_id=1)
        assert begun.wait(10)
        second = pool.submit(transactions.run, add, tenant_id=1)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        first.result(10)
        second.result(10)
    assert transactions.run(count, tenant_id=1, read_only=True) == 1


def test_readers_do_not_wait_for_a_turn(transactions: Transactions) -> None:
    def while_writing(tx: Transaction) -> int:
        add(tx)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: transactions.run(count, tenant_id=1, read_only=True)).result(5)

    assert transactions.run(while_writing, tenant_id=1) == 0


def test_a_file_that_another_process_keeps_locked_does_not_keep_the_turn(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    url = f"sqlite:///{path}"
    options = engine_options(make_url(url))
    engine = prepare(create_engine(url, **options))
    work = Transactions(engine)
    work.run(lambda tx: tx.execute(text("CREATE TABLE part (n INTEGER)")), tenant_id=1)
    with engine.connect().execution_options(read_only=True) as connection:
        connection.execute(text("PRAGMA busy_timeout=50"))  # the pool gives this connection out again
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        with pytest.raises(Unavailable):
            work.run(add, tenant_id=1)
    other.execute("ROLLBACK")
    other.close()
    work.run(lambda tx: tx.execute(text("INSERT INTO part VALUES (0)")), tenant_id=1)
    work.run(add, tenant_id=1)
    assert work.run(count, tenant_id=1, read_only=True) == 1
