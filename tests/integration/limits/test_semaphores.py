"""Semaphores: a job begins when its permits are free, and every end of its run frees them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from orchestrator.jobs import gate, recovery
from orchestrator.jobs.model import HeldLine
from orchestrator.jobs.moves import JobsOffered
from orchestrator.jobs.states import Status
from orchestrator.limits import requirements, semaphores
from orchestrator.limits.model import Permit
from orchestrator.limits.semaphores import NewSemaphore
from orchestrator.processes import lifecycle as processes
from orchestrator.runs.model import Run
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import READY, Scene


def semaphore(scene: Scene, permits: int, name: str = "SAP", **settings: Any) -> None:
    scene.run(lambda tx: semaphores.create(tx, NewSemaphore(name, permits, **settings)))


def require(scene: Scene, process: str = "invoices", **wanted: int) -> None:
    scene.run(lambda tx: requirements.require(tx, processes.existing(tx, process), wanted))


def held(scene: Scene) -> int:
    return int(scene.run(lambda tx: tx.execute(select(func.coalesce(func.sum(Permit.permits), 0))).scalar()))


def permits(scene: Scene, count: int) -> None:
    def change(tx: Transaction) -> None:
        was = semaphores.change(tx, "SAP", permits=count)
        gate.let_in(tx, requirements.of_semaphores(tx, [was.id]))

    scene.run(change)


def begin(scene: Scene, robot: Any) -> str | None:
    """The GUID of the job that the robot got and began, if any."""
    job = scene.consume(robot).job
    if job is None:
        return None
    scene.report(robot, job.guid, Status.IN_PROGRESS)
    return str(job.guid)


def test_no_more_run_than_there_are_permits_and_who_waits_keeps_its_place(scene: Scene) -> None:
    semaphore(scene, 2)
    require(scene, SAP=1)
    crew = [scene.robot(f"r{number}") for number in range(3)]
    guids = scene.pending(12)
    scene.publish("letters")
    (letter,) = scene.pending()

    assert [begin(scene, robot) for robot in crew[:2]] == guids[:2]
    # The third is passed over with all others like it; what may begin is found behind them.
    assert begin(scene, crew[2]) == letter
    assert held(scene) == 2
    scene.report(crew[2], letter, Status.SUCCESS)
    assert scene.consume(crew[2]).empty_targets == frozenset({"any", f"robot:{crew[2].id}"})

    done = guids[:2]
    scene.report(crew[1], guids[1], Status.SUCCESS)
    while (guid := begin(scene, crew[1])) is not None:
        done.append(guid)
        scene.report(crew[1], guid, Status.SUCCESS)
    assert done == guids
    scene.report(crew[0], guids[0], Status.SUCCESS)
    assert held(scene) == 0


def test_a_job_takes_all_the_permits_it_needs_or_none(scene: Scene) -> None:
    semaphore(scene, 3)
    semaphore(scene, 1, "mail")
    require(scene, SAP=2, mail=1)
    scene.publish("letters")
    require(scene, "letters", SAP=2)
    first, second, third = (scene.robot(name) for name in ("r1", "r2", "r3"))
    (letter,) = scene.pending()
    assert begin(scene, first) == letter
    scene.process = "invoices"
    (invoice,) = scene.pending()
    assert begin(scene, second) is None
    assert held(scene) == 2  # and no permit of mail
    permits(scene, 4)
    assert begin(scene, third) == invoice
    assert held(scene) == 5


def test_lowered_below_what_is_held_it_gives_nothing_until_as_many_have_come_back(scene: Scene) -> None:
    semaphore(scene, 3)
    require(scene, SAP=1)
    crew = [scene.robot(f"r{number}") for number in range(3)]
    guids = scene.pending(5)
    assert [begin(scene, robot) for robot in crew] == guids[:3]
    permits(scene, 1)
    assert held(scene) == 3
    for robot, guid in zip(crew[:2], guids, strict=False):
        scene.report(robot, guid, Status.SUCCESS)
        assert begin(scene, robot) is None
    scene.report(crew[2], guids[2], Status.SUCCESS)
    assert begin(scene, crew[0]) == guids[3]
    assert begin(scene, crew[1]) is None
    permits(scene, 2)
    assert begin(scene, crew[1]) == guids[4]


def lose(scene: Scene, guid: str) -> None:
    job = scene.job(guid)
    scene.run(lambda tx: recovery.lose(tx, job, "robot_lost", "It fell silent."))


def give_up(scene: Scene, guid: str) -> None:
    scene.abort(guid)
    job = scene.job(guid)
    scene.run(lambda tx: recovery.time_out(tx, job, timedelta(0)))


def report(status: Status) -> Callable[[Scene, str], None]:
    def end(scene: Scene, guid: str) -> None:
        scene.report(scene.robot_now("r1"), guid, status)

    return end


ENDS: dict[str, Callable[[Scene, str], Any]] = {
    "success": report(Status.SUCCESS),
    "failure": report(Status.FAILED),
    "stopped": report(Status.STOPPED),
    "aborted": report(Status.ABORTED),
    "lost": lose,
    "given up": give_up,
    "ready in mid-job": lambda scene, _guid: scene.consume(scene.robot_now("r1"), READY),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_of_a_run_frees_its_permits_and_offers_the_next(scene: Scene, end: str) -> None:
    semaphore(scene, 1)
    require(scene, SAP=1)
    first, second = scene.robot("r1"), scene.robot("r2")
    running, waiting = scene.pending(2)
    assert begin(scene, first) == running
    assert begin(scene, second) is None
    told: list[JobsOffered] = []
    scene.transactions.subscribe(JobsOffered, told.extend)
    if end == "ready in mid-job":
        # It is the next job's robot itself: the run is lost and the other begins in one transaction.
        assert scene.consume(first).job.guid == waiting
        assert held(scene) == 1
        return
    ENDS[end](scene, running)
    assert held(scene) == 0
    assert [fact.targets for fact in told] == [("any:1",)]
    assert begin(scene, second) == waiting


@on("mariadb")
def test_a_requeued_run_gives_its_permits_back_and_takes_them_again(scene: Scene) -> None:
    semaphore(scene, 1)
    require(scene, SAP=1)
    robot = scene.robot("r1")
    (guid,) = scene.pending(on_lost="requeue", max_attempts=2)
    assert begin(scene, robot) == guid
    lose(scene, guid)
    assert held(scene) == 0
    scene.dispatch()
    assert begin(scene, robot) == guid
    assert held(scene) == 1


@on("mariadb")
def test_a_job_taken_back_or_cancelled_before_it_began_frees_its_permits(scene: Scene) -> None:
    semaphore(scene, 1)
    require(scene, SAP=1)
    robot = scene.robot("r1")
    first, second, third = scene.pending(3)
    assert scene.consume(robot).job.guid == first
    taken = scene.job(first)
    scene.run(lambda tx: recovery.release(tx, taken))
    assert held(scene) == 0
    assert scene.consume(robot).job.guid == first
    assert scene.consume(scene.robot("r2")).job is None
    scene.stop(second)  # while it is held back
    assert scene.job(second).robot_id == 0
    scene.stop(first)
    assert held(scene) == 0
    assert scene.consume(robot).job.guid == third


@on("mariadb", "postgres")
def test_a_permit_counts_no_longer_than_its_lease(scene: Scene) -> None:
    semaphore(scene, 1, lease_seconds=60)
    require(scene, SAP=1)
    first, second = scene.robot("r1"), scene.robot("r2")
    guids = scene.pending(2)
    assert begin(scene, first) == guids[0]
    assert begin(scene, second) is None
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Permit).values(lease_until=past)))
    assert scene.run(gate.sweep) == {"permits_lapsed": 1, "jobs_let_in": 1}
    assert begin(scene, second) == guids[1]
    scene.report(first, guids[0], Status.SUCCESS)
    assert held(scene) == 1


@on("mariadb")
def test_the_sweep_finds_what_an_earlier_version_left_behind(scene: Scene) -> None:
    semaphore(scene, 1)
    require(scene, SAP=1)
    first, second = scene.robot("r1"), scene.robot("r2")
    guids = scene.pending(2)
    assert begin(scene, first) == guids[0]
    assert begin(scene, second) is None
    scene.run(
        lambda tx: tx.execute(update(Run).values(limited_process_id=None))
    )  # whose end looks at nothing
    scene.report(first, guids[0], Status.SUCCESS)
    assert held(scene) == 1
    assert scene.run(gate.sweep) == {"permits_lapsed": 1, "jobs_let_in": 1}
    assert begin(scene, second) == guids[1]


@on("sqlite")
def test_a_line_is_forgotten_when_nobody_is_held_back_in_it(scene: Scene) -> None:
    semaphore(scene, 0)
    require(scene, SAP=1)
    scene.pending(3)
    assert begin(scene, scene.robot("r1")) is None
    assert scene.run(gate.forget_empty_lines) == 0
    permits(scene, 3)
    assert scene.run(gate.forget_empty_lines) == 1
    assert scene.run(lambda tx: tx.execute(select(HeldLine.id)).all()) == []


@on("sqlite")
def test_hundreds_step_aside_at_a_time(scene: Scene) -> None:
    semaphore(scene, 0)
    require(scene, SAP=1)
    scene.pending(700)
    scene.publish("letters")
    (letter,) = scene.pending()
    assert begin(scene, scene.robot("r1")) == letter


def test_a_tenant_whose_jobs_cannot_be_let_in_keeps_no_other_from_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    semaphore(scene, 1)
    require(scene, SAP=1)
    first, second = scene.robot("r1"), scene.robot("r2")
    scene.pending(2)
    assert begin(scene, first) is not None and begin(scene, second) is None
    scene.run(lambda tx: tx.execute(update(Permit).values(lease_until=tx.now)))
    line = {"tenant_id": 999, "process_id": 1, "target": "any"}
    scene.run(lambda tx: tx.execute(insert(HeldLine).values(**line, since=tx.now)))
    room = gate.permits.room  # type: ignore[attr-defined]

    def some(tx: Transaction, processes: Any) -> Any:
        if tx.tenant_id == 999:
            raise KeyError(999)
        return room(tx, processes)

    monkeypatch.setattr(gate.permits, "room", some)  # type: ignore[attr-defined]
    assert scene.run(gate.sweep) == {"permits_lapsed": 1, "jobs_let_in": 1, "not_done": 1}
