"""A master that is killed or paused in mid-move: 0 rows missing, 0 in both places.

Short in the suite: killed after a few statements of its first batches, and five times at random. With
BOTSWAIN_LONG_DRILLS=1 two hundred times.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.cluster.model import Lease
from orchestrator.config import Config
from orchestrator.errors import AlreadyExists
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.resources import create as creation
from orchestrator.resources import lifecycle, past, queues
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator
from orchestrator.resources.model import Resource
from orchestrator.resources.queues import NewQueue
from orchestrator.tasks.model import Task, TaskStatus
from tests.integration.conftest import on
from tests.integration.history.accounts import breaches, numbers
from tests.integration.history.mover import DONE, TERM_OVER, Fault, Mutant, settings, start
from tests.integration.scene import LEASE, Scene

LONG = os.environ.get("BOTSWAIN_LONG_DRILLS") == "1"
ROWS = 60
ALICE = Initiator(person="alice")
SECONDS = 60.0
LIMIT = 3600 if LONG else 120


@pytest.fixture
def config(migrated_database_url: str, redis_url: str, tmp_path: Path) -> Config:
    return settings(migrated_database_url, redis_url, tmp_path)


@pytest.fixture
def work(scene: Scene) -> Callable[[], list[str]]:
    """More that has ended: jobs, their tasks, resources and the audit of it all. The resources' ids."""

    def more() -> list[str]:
        scene.create(ROWS)
        ended = {"finished_at": scene.past(60)}
        jobs = update(Job).where(Job.status == 0).values(status=Status.SUCCESS.value, **ended)
        tasks = update(Task).where(Task.status == 0).values(status=TaskStatus.SUCCEEDED.value, **ended)

        def work(tx: Any) -> list[str]:
            tx.execute(jobs)
            tx.execute(tasks)
            with suppress(AlreadyExists):
                queues.create(tx, NewQueue("orders"))
            made = creation.create(tx, "orders", [NewResource(tags=["a"]) for _ in range(ROWS)])
            tx.execute(update(Resource).values(status=2))
            return made

        return scene.run(work)

    return more


def lease_ends(scene: Scene) -> None:
    ended = update(Lease).where(Lease.name == MASTER).values(lease_until=scene.past(1))
    scene.run(lambda tx: tx.execute(ended))


def bring_back(scene: Scene, made: list[str]) -> None:
    """Some of what may have moved is wanted again, and some of it deleted."""
    for resource in random.sample(made, 3):
        scene.run(lambda tx, one=resource: past.recall(tx, one))
        scene.run(lambda tx, one=resource: lifecycle.change(tx, one, ALICE, {"status": 2}))
    scene.run(lambda tx: lifecycle.remove(tx, made.pop(), ALICE))


def end(process: Any) -> int:
    process.join(SECONDS)
    assert process.exitcode is not None, "it stands still"
    return int(process.exitcode)


@pytest.mark.timeout(LIMIT)
def test_killed_after_each_statement(scene: Scene, config: Config, work: Any) -> None:
    work()
    engine = scene.transactions.engine
    before = numbers(engine)
    for statement in range(1, 301) if LONG else (4, 7, 8, 9, 11):
        lease_ends(scene)
        ended = end(start(config, Fault(statement=statement)))
        assert ended in (-signal.SIGKILL, DONE)
        assert breaches(before, engine) == [], f"killed after statement {statement}"
    lease_ends(scene)
    assert end(start(config, Fault())) == DONE
    assert breaches(before, engine) == []
    assert not {name: live for name, (live, _) in numbers(engine).items() if live}, "all of it has ended"


@pytest.mark.timeout(LIMIT)
def test_killed_or_paused_at_random_while_others_work(scene: Scene, config: Config, work: Any) -> None:
    made, engine = work(), scene.transactions.engine
    before = numbers(engine)
    killed = 0
    while killed < (200 if LONG else 5):
        lease_ends(scene)
        process = start(config, Fault(slow=0.004))
        time.sleep(random.uniform(0.02, 0.3))
        if killed % 2:  # paused first, looked at, and let go on for a moment
            os.kill(process.pid or 0, signal.SIGSTOP)
            assert breaches(before, engine) == []
            os.kill(process.pid or 0, signal.SIGCONT)
        process.kill()
        killed += end(process) == -signal.SIGKILL
        assert breaches(before, engine) == []
        bring_back(scene, made)
        made += work() if killed % 5 == 1 else []
        now = numbers(engine)
        before = {name: (before[name][0] | now[name][0], before[name][1] | now[name][1]) for name in now}
    assert sum(len(gone) for _, gone in before.values()) > 0, "nothing was moved at all"


def stopped(process: Any) -> None:
    """Wait until it stands still."""
    end_at = time.monotonic() + SECONDS
    while not os.path.exists(f"/proc/{process.pid}/stat") or " T " not in stat(process.pid):
        assert time.monotonic() < end_at, "it has not stopped"
        time.sleep(0.01)


def stat(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text()


def outlived(scene: Scene, config: Config, mutant: Mutant) -> tuple[int, int]:
    """A master is paused between two batches, another takes over, and the first goes on.

    How it ended, and how many rows it moved in what was no longer its term.
    """
    process = start(config, Fault(signal.SIGSTOP, batches=1), mutant)
    stopped(process)
    lease_ends(scene)
    assert scene.run(lambda tx: cluster.acquire_lease(tx, MASTER, "another", LEASE)) is not None
    before = numbers(scene.transactions.engine)
    os.kill(process.pid or 0, signal.SIGCONT)
    ended = end(process)
    assert breaches(before, scene.transactions.engine) == []
    after = numbers(scene.transactions.engine)
    return ended, sum(len(after[name][1]) - len(before[name][1]) for name in after)


def test_a_master_that_its_term_has_outlived_moves_nothing(scene: Scene, config: Config, work: Any) -> None:
    work()
    assert outlived(scene, config, Mutant()) == (TERM_OVER, 0)


@on("mariadb")
def test_without_the_check_of_the_epoch_it_would(scene: Scene, config: Config, work: Any) -> None:
    work()
    ended, moved = outlived(scene, config, Mutant(epoch=True))
    assert (ended, moved > 0) == (DONE, True)


def test_paused_within_a_batch_it_keeps_its_term_and_ends_the_batch(
    scene: Scene, config: Config, work: Any
) -> None:
    work()
    before = numbers(scene.transactions.engine)
    process = start(config, Fault(signal.SIGSTOP, statement=9))
    stopped(process)
    os.kill(process.pid or 0, signal.SIGCONT)
    assert end(process) == DONE
    assert breaches(before, scene.transactions.engine) == []


@on("mariadb", "postgres")
def test_without_the_transaction_rows_would_be_in_both_places(
    scene: Scene, config: Config, work: Any
) -> None:
    work()
    engine = scene.transactions.engine
    before, found = numbers(engine), []
    for statement in range(3, 12):
        lease_ends(scene)
        end(start(config, Fault(statement=statement), Mutant(transaction=True)))
        found += breaches(before, engine)
        if found:
            break
    assert any("in both places" in breach for breach in found)
