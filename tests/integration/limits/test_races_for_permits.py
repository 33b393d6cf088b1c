"""However many robots take at once, no more run than there are permits; and none is forgotten."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event

from orchestrator import transaction
from orchestrator.jobs import report
from orchestrator.jobs.states import Status
from orchestrator.limits import permits, requirements, semaphores
from orchestrator.limits.semaphores import NewSemaphore
from orchestrator.processes import lifecycle as processes
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import Scene, race

CREW, LIMIT, JOBS = 8, 3, 24


class Recorder:
    """Counts the runs between the answer of consumeNextJob and the report of the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = self.most = 0
        self.done: list[str] = []

    def began(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def ends(self, guid: str) -> None:
        with self._lock:
            self.now -= 1
            self.done.append(guid)


def limit(scene: Scene) -> None:
    def work(tx: Transaction) -> None:
        semaphores.create(tx, NewSemaphore("SAP", LIMIT))
        requirements.require(tx, processes.existing(tx, "invoices"), {"SAP": 1})

    scene.run(work)


def work_off(scene: Scene, recorder: Recorder, robot: Any) -> None:
    while len(recorder.done) < JOBS:
        job = scene.consume(robot).job
        if job is None:
            continue
        recorder.began()
        scene.report(robot, job.guid, Status.IN_PROGRESS)
        recorder.ends(job.guid)  # before it is true: the count is never more than what goes on
        scene.report(robot, job.guid, Status.SUCCESS)


def test_eight_robots_never_run_more_than_three_at_once(scene: Scene) -> None:
    limit(scene)
    crew = [scene.robot(f"r{number}") for number in range(CREW)]
    guids = scene.pending(JOBS)
    recorder = Recorder()
    outcomes = race(*[lambda robot=robot: work_off(scene, recorder, robot) for robot in crew])
    assert outcomes == [None] * CREW
    assert sorted(recorder.done) == sorted(guids)
    assert 1 <= recorder.most <= LIMIT


@on("mariadb", "postgres")
def test_who_needs_several_and_who_needs_others_do_not_block_each_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each robot may be refused one process's permits and take another's, in one transaction: and yet no two
    ever wait for each other, which the databases would end by undoing one of them."""
    # MariaDB carries out SKIP LOCKED as a wait that it takes back at once; who looks for deadlocks in that
    # moment sees one that is none.
    on_mariadb = scene.transactions.engine.dialect.name == "mysql"
    monkeypatch.setattr(transaction, "ATTEMPTS", 2 if on_mariadb else 1)
    needs: dict[str, dict[str, int]] = {
        "p1": {"SAP": 1, "mail": 1},
        "p2": {"mail": 1, "bank": 1},
        "p3": {"bank": 1, "SAP": 1},
    }
    for name in ("SAP", "mail", "bank"):
        scene.run(lambda tx, name=name: semaphores.create(tx, NewSemaphore(name, 2)))
    for process, wanted in needs.items():
        scene.publish(process)
        scene.run(
            lambda tx, process=process, wanted=wanted: requirements.require(
                tx, processes.existing(tx, process), wanted
            )
        )
    crew = [scene.robot(f"r{number}") for number in range(CREW)]
    for _ in range(8):
        for scene.process in needs:
            scene.pending()
    recorder = Recorder()
    outcomes = race(*[lambda robot=robot: work_off(scene, recorder, robot) for robot in crew])
    assert outcomes == [None] * CREW
    assert len(set(recorder.done)) == JOBS
    assert recorder.most <= 3


@on("mariadb", "postgres")
def test_without_the_lock_of_its_row_a_semaphore_would_be_overrun(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant that the race above is to catch, met for certain: both count before either has taken."""
    limit(scene)
    scene.run(lambda tx: semaphores.change(tx, "SAP", permits=1))
    crew = [scene.robot(f"r{number}") for number in range(2)]
    scene.pending(2)
    both = threading.Barrier(2, timeout=1)
    counted = permits._used

    def together(tx: Transaction, ids: Any) -> Any:
        used = counted(tx, ids)
        with suppress(threading.BrokenBarrierError):  # broken: the other waits for the lock
            both.wait()
        return used

    monkeypatch.setattr(permits, "_used", together)
    consumed = race(*[lambda robot=robot: scene.consume(robot).job for robot in crew])
    assert sum(job is not None for job in consumed) == 1

    done = next((robot, job) for robot, job in zip(crew, consumed, strict=True) if job is not None)
    scene.report(done[0], done[1].guid, Status.IN_PROGRESS)
    scene.report(done[0], done[1].guid, Status.SUCCESS)
    scene.pending(2)
    both = threading.Barrier(2, timeout=30)
    monkeypatch.setattr(permits, "_LOCK", permits._SEMAPHORES)
    consumed = race(*[lambda robot=robot: scene.consume(robot).job for robot in crew])
    assert sum(job is not None for job in consumed) == 2


@on("mariadb", "postgres")
def test_who_steps_aside_while_the_last_permit_comes_back_is_not_forgotten(scene: Scene) -> None:
    limit(scene)
    scene.run(lambda tx: semaphores.change(tx, "SAP", permits=1))
    first, second = scene.robot("r1"), scene.robot("r2")
    scene.pending(2)
    running = scene.consume(first).job
    scene.report(first, running.guid, Status.IN_PROGRESS)

    def end(tx: Transaction) -> Any:
        return report.report(tx, first, report.Report(running.guid, Status.SUCCESS))

    refused, _, order = scene.one_after_the_other(lambda tx: scene.consume_in(tx, second), end)
    assert refused.job is None
    assert order == "waited"
    assert scene.consume(second).job is not None


def statements(scene: Scene, work: Any) -> int:
    seen: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = scene.transactions.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


@on("mariadb")
def test_a_process_without_limits_pays_no_statement_for_them(scene: Scene) -> None:
    robot = scene.robot("r1")
    scene.pending(4)

    def life() -> None:
        job = scene.consume(robot).job
        scene.report(robot, job.guid, Status.IN_PROGRESS)
        scene.report(robot, job.guid, Status.SUCCESS)

    life()
    before = statements(scene, life)
    scene.publish("other")
    limit_other = {"SAP": 1}
    scene.run(lambda tx: semaphores.create(tx, NewSemaphore("SAP", 1)))
    scene.run(lambda tx: requirements.require(tx, processes.existing(tx, "other"), limit_other))
    assert statements(scene, life) == before
    scene.run(lambda tx: requirements.require(tx, processes.existing(tx, "invoices"), {"SAP": 1}))
    assert statements(scene, life) > before
