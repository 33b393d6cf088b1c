"""Who works at the same moment may wait for another's commit, and never two for each other.

The databases end such a circle by undoing one transaction, which is then tried again: it costs time, with
many at once the request, and no other test sees it. So here nothing is tried again, and each pair meets for
certain in the moment in which both hold what the other needs next; where the order of locking is right, one
of the two is not there yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text, update

from orchestrator import transaction
from orchestrator.jobs import for_resources, gate, limiting
from orchestrator.jobs.states import Status
from orchestrator.limits import breakers, permits, requirements, semaphores
from orchestrator.limits.model import Permit
from orchestrator.limits.semaphores import NewSemaphore
from orchestrator.processes import lifecycle as processes
from orchestrator.resources import create, queues, recovery
from orchestrator.resources import lifecycle as resources
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import Resource
from orchestrator.resources.queues import NewQueue
from orchestrator.runs import lifecycle as runs
from orchestrator.tasks import claimed as claimed_tasks
from orchestrator.tasks import partitions
from orchestrator.tasks import recovery as tasks_recovery
from orchestrator.tasks.enqueueing import NewTask, enqueue, put_back
from orchestrator.tasks.model import Lane, Partition, TaskKind
from orchestrator.transaction import Transaction
from scheduler.maintenance import lost_runs, time_limits
from tests.integration.conftest import on
from tests.integration.scene import LEASE, PERSON, SCHEDULER, Scene, race

BREAKER = {"failures": 5, "within_seconds": 60, "cooldown_seconds": None}


@pytest.fixture(autouse=True)
def no_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction, "ATTEMPTS", 1)


@pytest.fixture
def meet() -> Callable[[], None]:
    """Wait for the other one or, where it cannot come because it waits for a row, for half a second."""
    barrier = threading.Barrier(2, timeout=0.5)

    def met() -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait()

    return met


def queue_of(scene: Scene, count: int) -> list[str]:
    scene.run(lambda tx: queues.create(tx, NewQueue("q")))
    return scene.run(lambda tx: create.create(tx, "q", [NewResource(value=n) for n in range(count)]))


def limited(scene: Scene, process: str, *names: str) -> None:
    """A process whose runs take one permit of each of these semaphores, of which there is one."""

    def work(tx: Transaction) -> None:
        for name in names:
            semaphores.create(tx, NewSemaphore(name, 1))
        requirements.require(tx, processes.existing(tx, process), dict.fromkeys(names, 1))

    scene.run(work)


def run_of(scene: Scene, guid: str) -> Initiator:
    return Initiator(run_id=scene.runs(guid)[0].id, job_guid=guid)


def before(verb: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    def both(*given: Any, **more: Any) -> Any:
        act()
        return verb(*given, **more)

    return both


def after(verb: Callable[..., Any], act: Callable[[], None]) -> Callable[..., Any]:
    def both(*given: Any, **more: Any) -> Any:
        done = verb(*given, **more)
        act()
        return done

    return both


def not_refused(outcomes: list[Any]) -> None:
    assert not [one for one in outcomes if isinstance(one, Exception)], outcomes


# Runs and resources -------------------------------------------------------------------------------------


@on("mariadb", "postgres")
def test_two_requests_of_one_run_mark_it_one_after_the_other(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = run_of(scene, scene.in_progress(scene.robot("r1")))
    is_to_be_marked = runs.is_to_be_marked
    monkeypatch.setattr(runs, "is_to_be_marked", before(is_to_be_marked, meet))
    hold = lambda: scene.run(lambda tx: runs.hold(tx, who.run_id or 0))  # noqa: E731
    assert race(hold, hold) == [None, None]


@on("mariadb", "postgres")
def test_a_run_that_ends_and_uses_its_resource_at_once(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = queue_of(scene, 1)
    robot = scene.robot("r1")
    guid = scene.in_progress(robot, resource=one)
    who = run_of(scene, guid)
    locked = for_resources._locked
    monkeypatch.setattr(for_resources, "_locked", after(locked, meet))

    def script(tx: Transaction) -> Any:
        runs.hold(tx, who.run_id or 0)
        meet()
        return resources.lock(tx, one, who, (Mode.WRITE,), None)

    not_refused(race(lambda: scene.report(robot, guid, Status.SUCCESS), lambda: scene.run(script)))
    assert scene.job(guid).status == Status.SUCCESS


@on("mariadb", "postgres")
def test_the_sweep_waits_for_no_resource(scene: Scene) -> None:
    one, other = queue_of(scene, 2)
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Resource).values(is_postponed=True, postpone_until=past)))
    lock = select(Resource.id).where(Resource.public_id == one).with_for_update()
    _, swept, how = scene.one_after_the_other(lambda tx: tx.execute(lock).all(), recovery.sweep)
    assert (swept, how) == ({"promoted": 1}, "passed")
    still = scene.run(lambda tx: resources.existing(tx, other).is_postponed)
    assert not still
    assert scene.run(recovery.sweep) == {"promoted": 1}


@on("postgres")
def test_the_end_of_a_run_takes_its_resources_in_the_order_of_their_ids(scene: Scene) -> None:
    """PostgreSQL finds rows as they lie, and each change puts a row elsewhere."""
    public_ids = queue_of(scene, 2)
    who = run_of(scene, scene.in_progress(scene.robot("r1")))
    for one in reversed(public_ids):
        scene.run(lambda tx, one=one: resources.lock(tx, one, who, (Mode.WRITE,), None))
    ids = as_they_lie(scene, Resource, "write_run_id IS NOT NULL")

    assert ids == sorted(ids, reverse=True)

    def lock(tx: Transaction, number: int) -> None:
        tx.execute(select(Resource.id).where(Resource.id == number).with_for_update()).all()

    crosswise(scene, lock, sorted(ids), lambda tx: recovery.run_ended(tx, who.run_id or 0))


# Limits -------------------------------------------------------------------------------------------------


@on("mariadb", "postgres")
def test_who_was_refused_permits_waits_for_no_resource(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a run takes its resources first and its permits then."""
    (one,) = queue_of(scene, 1)
    scene.publish("free")
    scene.publish("sap")
    limited(scene, "sap", "SAP")
    first, second = scene.robot("r1"), scene.robot("r2")
    ending = scene.create(resource=one)[0]
    scene.process = "free"
    scene.create(resource=one, priority=-1)
    scene.process = "sap"
    scene.dispatch()
    assert scene.consume(first).job.guid == ending
    scene.report(first, ending, Status.IN_PROGRESS)
    scene.create(priority=1)
    scene.dispatch()
    run_ended, step_aside = gate.run_ended, gate.step_aside
    monkeypatch.setattr(gate, "run_ended", before(run_ended, meet))
    monkeypatch.setattr(gate, "step_aside", after(step_aside, meet))
    outcomes = race(lambda: scene.report(first, ending, Status.STOPPED), lambda: scene.consume(second))
    not_refused(outcomes)
    assert scene.job(ending).status == Status.STOPPED


@on("mariadb", "postgres")
def test_a_change_of_limits_and_a_run_that_begins(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(scene, "invoices", "SAP")
    scene.run(lambda tx: semaphores.change(tx, "SAP", permits=5))
    scene.run(lambda tx: limiting.limit_process(tx, "invoices", breaker=BREAKER), actor=PERSON)
    scene.in_progress(scene.robot("r1"))
    robot = scene.robot("r2")
    scene.pending()
    configure, take = breakers.configure, permits.take
    monkeypatch.setattr(breakers, "configure", after(configure, meet))
    monkeypatch.setattr(permits, "take", after(take, meet))
    change = lambda tx: limiting.limit_process(tx, "invoices", breaker=BREAKER)  # noqa: E731
    not_refused(race(lambda: scene.run(change, actor=PERSON), lambda: scene.consume(robot)))


@on("mariadb", "postgres")
def test_a_change_of_limits_and_a_run_that_ends(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(scene, "invoices", "SAP")
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    limit, run_ended = requirements.limit_process, gate.run_ended
    scene.run(lambda tx: limiting.limit_process(tx, "invoices", max_concurrent=2), actor=PERSON)
    monkeypatch.setattr(requirements, "limit_process", after(limit, meet))
    monkeypatch.setattr(gate, "run_ended", before(run_ended, meet))
    change = lambda tx: limiting.limit_process(tx, "invoices", max_concurrent=3)  # noqa: E731
    outcomes = race(
        lambda: scene.run(change, actor=PERSON), lambda: scene.report(robot, guid, Status.SUCCESS)
    )
    not_refused(outcomes)


@pytest.mark.parametrize("duty", [lost_runs, time_limits])
@on("mariadb", "postgres")
def test_of_runs_that_the_master_ends_each_waits_for_itself_alone(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch, duty: Any
) -> None:
    """While the first has its permits' semaphore, the second reports its own end, and wants the same."""
    limited(scene, "invoices", "SAP")
    scene.run(lambda tx: semaphores.change(tx, "SAP", permits=2))
    crew = [scene.robot(f"r{number}") for number in range(2)]
    guids = [scene.in_progress(robot) for robot in crew]
    late = {"lease_until": scene.past(), "run_until": scene.past(), "status": Status.ABORTING.value}
    for guid in guids:
        scene.set_job(guid, **late)
    run_ended = gate.run_ended
    silent = scene.job(guids[0]).id

    def ended(tx: Transaction, job: Any, *more: Any) -> None:
        if job.id == silent:
            run_ended(tx, job, *more)
            meet()
        else:
            meet()
            run_ended(tx, job, *more)

    monkeypatch.setattr(gate, "run_ended", ended)
    parts = SimpleNamespace(
        presence=SimpleNamespace(look=lambda _: []),
        run_lease=LEASE,
        config=SimpleNamespace(abort_grace_seconds=30),
    )
    term: Any = SimpleNamespace(run=scene.run, parts=parts)
    not_refused(race(lambda: duty.run(term), lambda: scene.report(crew[1], guids[1], Status.ABORTED)))
    assert [scene.job(guid).status for guid in guids] == [Status.FAILED, Status.ABORTED]
    assert scene.run(lambda tx: tx.execute(select(Permit.id)).all()) == []


# Partitions and tasks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["renew", "release", "desert"])
@on("postgres")
def test_who_renews_or_gives_back_takes_partitions_in_the_order_of_who_fills_them(
    scene: Scene, verb: str
) -> None:
    scene.own([3, 7], "s1")
    for _ in range(9):  # until 7 lies before 3
        scene.run(lambda tx: tx.execute(update(Partition).where(Partition.id == 3).values(deaths=0)))
        if as_they_lie(scene, Partition, "owner = 's1'") == [7, 3]:
            break
    assert as_they_lie(scene, Partition, "owner = 's1'") == [7, 3]
    act: dict[str, Callable[[Transaction], Any]] = {
        "renew": lambda tx: partitions.renew(tx, "s1", LEASE),
        "release": lambda tx: partitions.release(tx, "s1", [3, 7]),
        "desert": lambda tx: partitions.desert(tx, "s1"),
    }

    def fill(tx: Transaction, number: int) -> None:
        tx.execute(update(Partition).where(Partition.id == number).values(next_seq=Partition.next_seq + 1))

    crosswise(scene, fill, [3, 7], act[verb])


@on("mariadb", "postgres")
def test_who_gives_tasks_back_and_who_adopts_them(
    scene: Scene, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (mine,) = scene.own([5], "a")
    monkeypatch.setattr("orchestrator.tasks.enqueueing._spread.next", lambda _: 5)
    scene.run(lambda tx: enqueue(tx, [NewTask(TaskKind.ACTIVITY) for _ in range(3)]))
    taken = scene.claim(mine, 3).tasks
    scene.run(
        lambda tx: tx.execute(update(Partition).where(Partition.id == 5).values(lease_until=scene.past()))
    )
    take_back = tasks_recovery.take_back_from
    monkeypatch.setattr(claimed_tasks, "put_back", before(put_back, meet))
    monkeypatch.setattr(partitions, "take_back_from", before(take_back, meet))
    release = lambda tx: claimed_tasks.release(tx, taken, Lane.WORKER)  # noqa: E731
    not_refused(race(lambda: scene.run(release, actor=SCHEDULER), lambda: scene.own([5], "b")))


def as_they_lie(scene: Scene, model: Any, which: str) -> list[int]:
    query = text(f"SELECT id FROM {model.__tablename__} WHERE {which} ORDER BY ctid")
    return scene.run(lambda tx: list(tx.execute(query).scalars()))


def crosswise(
    scene: Scene,
    lock: Callable[[Transaction, int], None],
    ids: list[int],
    other: Callable[[Transaction], Any],
) -> None:
    """Lock the first of two rows, the second as soon as `other`, which wants both, waits."""
    holds_first = threading.Event()

    def one_by_one(tx: Transaction) -> None:
        lock(tx, ids[0])
        holds_first.set()
        end = time.monotonic() + 5
        while not scene._someone_waits() and time.monotonic() < end:
            time.sleep(0.02)
        lock(tx, ids[1])

    def follow() -> None:
        holds_first.wait(5)
        scene.run(other)

    not_refused(race(lambda: scene.run(one_by_one), follow))
