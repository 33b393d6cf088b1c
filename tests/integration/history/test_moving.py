"""What moves to history and what stays, and that nothing is lost, doubled or numbered twice."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from orchestrator import audit
from orchestrator.audit import PAST_AUDIT
from orchestrator.errors import AlreadyExists, NotFound
from orchestrator.history import moving, retention
from orchestrator.history.tables import AUDIT, JOBS, RESOURCES, TASKS
from orchestrator.jobs.model import PAST_JOB_HISTORY, PAST_JOBS, Job
from orchestrator.jobs.states import Status
from orchestrator.past import Torn, carry, live_of
from orchestrator.resources import create as creation
from orchestrator.resources import lifecycle, past, queues
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import PAST_RESOURCE_HISTORY, PAST_RESOURCES, ResourceTerm
from orchestrator.resources.queues import NewQueue
from orchestrator.runs.model import PAST_RUNS
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks import past as past_tasks
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import Task, TaskKind, TaskStatus
from tests.integration.conftest import on
from tests.integration.history.accounts import breaches, move_all, numbers
from tests.integration.scene import Scene

ALICE = Initiator(person="alice")


def count(scene: Scene, table: Any) -> int:
    return int(scene.run(lambda tx: tx.execute(select(func.count()).select_from(table)).scalar_one()))


def finished(scene: Scene) -> str:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.report(robot, guid, Status.SUCCESS)
    return guid


def resource(scene: Scene, queue: str = "orders", **order: Any) -> str:
    def work(tx: Any) -> str:
        with suppress(AlreadyExists):
            queues.create(tx, NewQueue(queue))
        return creation.create(tx, queue, [NewResource(**order)])[0]

    return scene.run(work)


def processed(scene: Scene, **order: Any) -> str:
    made = resource(scene, **order)
    scene.run(lambda tx: lifecycle.finish(tx, made, ALICE, result="done"))
    return made


def test_an_ended_job_moves_with_its_history_and_runs_and_no_other_does(scene: Scene) -> None:
    ended, (waiting,) = finished(scene), scene.create()
    lines, before = len(scene.history(ended)), numbers(scene.transactions.engine)
    row = scene.job(ended)
    assert move_all(scene.run, (JOBS,)) == {"jobs": 1}
    assert move_all(scene.run, (JOBS,)) == {}, "a second time there is nothing left to do"
    assert breaches(before, scene.transactions.engine) == []
    assert [count(scene, table) for table in (PAST_JOBS, PAST_JOB_HISTORY, PAST_RUNS)] == [1, lines, 1]
    moved = scene.job(ended)._mapping
    assert {name: moved[name] for name in row._mapping} == dict(row._mapping)
    assert moved["moved_at"] > row.finished_at
    assert scene.job(waiting).status == Status.CREATED and not hasattr(scene.job(waiting), "moved_at")


def test_what_ended_lately_stays(scene: Scene) -> None:
    finished(scene)
    assert move_all(scene.run, age=timedelta(minutes=1)) == {}


def test_a_lane_is_walked_in_batches_past_rows_that_are_too_young(scene: Scene) -> None:
    guids = scene.create(7)
    for guid in guids:
        scene.stop(guid)
    long_ago = scene.past(3600)
    old = [guids[1], guids[4], guids[6]]
    aged = update(Job).values(created_at=long_ago)
    scene.run(lambda tx: tx.execute(aged))
    scene.run(lambda tx: tx.execute(aged.where(Job.guid.in_(old)).values(finished_at=long_ago)))
    assert move_all(scene.run, (JOBS,), age=timedelta(minutes=1), batch=2) == {"jobs": 3}
    assert {g for g in guids if hasattr(scene.job(g), "moved_at")} == set(old)


def test_a_row_that_changes_after_the_look_stays(scene: Scene) -> None:
    made = processed(scene, tags=["a"])
    number = scene.run(lambda tx: past.look(tx, made).id)
    scene.run(lambda tx: lifecycle.change(tx, made, ALICE, {"status": 0}))
    soon = scene.past(-5)
    assert scene.run(lambda tx: moving.move(tx, RESOURCES, [number], soon)) == 0
    scene.run(lambda tx: lifecycle.finish(tx, made, ALICE))
    scene.run(lambda tx: lifecycle.lock(tx, made, ALICE, (Mode.WRITE,), None))
    assert scene.run(lambda tx: moving.move(tx, RESOURCES, [number], soon)) == 0, "somebody has locked it"
    scene.run(lambda tx: lifecycle.unlock(tx, made, ALICE, (Mode.WRITE,)))
    assert scene.run(lambda tx: moving.move(tx, RESOURCES, [number], soon)) == 1


@on("mariadb", "postgres")
def test_a_row_that_another_changes_at_this_moment_is_passed_over(scene: Scene) -> None:
    made = [processed(scene), processed(scene)]
    numbers_of = [scene.run(lambda tx, one=one: past.look(tx, one).id) for one in made]
    soon = scene.past(-5)
    _, moved, order = scene.one_after_the_other(
        lambda tx: lifecycle.change(tx, made[0], ALICE, {"priority": 9}),
        lambda tx: moving.move(tx, RESOURCES, numbers_of, soon),
    )
    assert (moved, order) == (1, "passed")


def test_a_torn_move_is_undone_whole(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(scene)
    before = numbers(scene.transactions.engine)

    def torn(tx: Any) -> None:
        carry(tx, live_of(Job), PAST_JOBS, [*before["jobs"][0], 10**9])

    with pytest.raises(Torn, match="jobs: 2 rows were to move, 1 were copied and 1 deleted"):
        scene.run(torn)
    assert numbers(scene.transactions.engine) == before


def test_numbers_are_never_given_twice(scene: Scene) -> None:
    """SQLite would, without its AUTOINCREMENT: a new job would get the number of one that is history."""
    for guid in scene.create(2):
        scene.stop(guid)
    resource(scene)
    move_all(scene.run)
    before = numbers(scene.transactions.engine)
    for guid in scene.create(2):
        scene.stop(guid)
    assert move_all(scene.run)["jobs"] == 2
    assert breaches(before, scene.transactions.engine) == []
    assert count(scene, PAST_JOBS) == 4


def test_ended_tasks_move_and_come_back_to_be_retried(scene: Scene) -> None:
    made = NewTask(TaskKind.ACTIVITY, activity="botswain.echo", ordering_key="k")
    scene.run(lambda tx: enqueue(tx, [made]))
    scene.run(lambda tx: tasks.cancel(tx, made.guid))
    before = numbers(scene.transactions.engine)
    assert move_all(scene.run, (TASKS,)) == {"tasks": 1}
    moved = scene.run(lambda tx: past_tasks.find(tx, made.guid))
    assert (moved.status, moved.ordering_key) == (TaskStatus.CANCELLED, "k")
    scene.run(lambda tx: tasks.retry(tx, made.guid))
    again = scene.task(made.guid)
    assert (again.status, again.ordering_key) == (TaskStatus.QUEUED, "k")
    assert breaches(before, scene.transactions.engine) == []
    (owned,) = scene.own([scene.task(made.guid).partition])
    assert [task.guid for task in scene.claim(owned).tasks] == [made.guid]


def test_a_failed_dispatch_stays_for_as_long_as_its_job_waits(scene: Scene) -> None:
    (guid,) = scene.create()
    failed = {"status": TaskStatus.FAILED.value, "finished_at": scene.past(60)}
    scene.run(lambda tx: tx.execute(update(Task).values(**failed)))
    assert move_all(scene.run, (TASKS,)) == {}
    scene.stop(guid)
    assert move_all(scene.run, (TASKS,)) == {"tasks": 1}


def test_a_resource_comes_back_from_history_with_its_index_entries(scene: Scene) -> None:
    made = processed(scene, tags=["urgent"], parameters={"country": "ES"}, reference="A-1")
    before = numbers(scene.transactions.engine)
    terms = count(scene, ResourceTerm)
    assert move_all(scene.run, (RESOURCES,)) == {"resources": 1}
    assert count(scene, ResourceTerm) == 0
    assert not scene.run(lambda tx: past.recall(tx, "00000000-0000-0000-0000-000000000000"))
    assert scene.run(lambda tx: past.recall(tx, made))
    assert not scene.run(lambda tx: past.recall(tx, made))
    assert count(scene, ResourceTerm) == terms
    assert breaches(before, scene.transactions.engine) == []
    scene.run(lambda tx: lifecycle.change(tx, made, ALICE, {"status": 0}))


def test_a_reference_stays_taken_in_history_and_is_free_after_deletion(scene: Scene) -> None:
    made = processed(scene, reference="A-1")
    other = resource(scene, reference="B-1")
    move_all(scene.run, (RESOURCES,))
    with pytest.raises(AlreadyExists, match="A-1"):
        resource(scene, reference="A-1")
    with pytest.raises(AlreadyExists, match="in its history"):
        scene.run(lambda tx: lifecycle.change(tx, other, ALICE, {"reference": "A-1"}))
    scene.run(lambda tx: queues.change(tx, "orders", on_duplicate="return"))
    assert resource(scene, reference="A-1") == made
    scene.run(lambda tx: past.recall(tx, made))
    scene.run(lambda tx: lifecycle.remove(tx, made, ALICE))
    assert resource(scene, reference="A-1") not in (made, other)


def test_a_deleted_resource_is_gone_and_its_history_is_not(scene: Scene) -> None:
    made = resource(scene, value=7)
    before = numbers(scene.transactions.engine)
    scene.run(lambda tx: lifecycle.remove(tx, made, ALICE))
    assert breaches(before, scene.transactions.engine) == []
    with pytest.raises(NotFound):
        scene.run(lambda tx: past.look(tx, made))
    number = scene.run(lambda tx: past.known_id(tx, made))
    lines = select(PAST_RESOURCE_HISTORY.c.event).where(PAST_RESOURCE_HISTORY.c.resource_id == number)
    assert list(scene.run(lambda tx: tx.execute(lines).scalars().all())) == ["create", "delete"]
    assert not scene.run(lambda tx: past.recall(tx, made)), "what is deleted does not come back"


def test_retention_deletes_what_belongs_to_a_row_with_it(scene: Scene) -> None:
    finished(scene)
    kept, gone = processed(scene), resource(scene)
    scene.run(lambda tx: lifecycle.remove(tx, gone, ALICE))
    move_all(scene.run)
    soon, long_ago = scene.past(-5), scene.past(3600)
    aged = (
        update(PAST_RESOURCES).where(PAST_RESOURCES.c.public_id == kept).values(updated_at=scene.past(7200))
    )
    scene.run(lambda tx: tx.execute(aged))
    assert scene.run(lambda tx: retention.forget(tx, JOBS, long_ago)) == 0
    assert scene.run(lambda tx: retention.forget(tx, JOBS, soon)) == 1
    assert [count(scene, table) for table in (PAST_JOBS, PAST_JOB_HISTORY, PAST_RUNS)] == [0, 0, 0]
    assert scene.run(lambda tx: retention.forget(tx, RESOURCES, long_ago)) == 1
    assert count(scene, PAST_RESOURCES) == 1, "the one that was deleted lately"
    assert scene.run(lambda tx: retention.forget(tx, RESOURCES, soon, batch=1)) == 1
    assert count(scene, PAST_RESOURCE_HISTORY) == 0


def test_the_audit_moves_by_its_age(scene: Scene) -> None:
    scene.run(lambda tx: audit.record(tx, "queue.create", "orders"))
    everything = count(scene, live_of(audit.AuditRecord))
    assert move_all(scene.run, (AUDIT,), age=timedelta(minutes=1)) == {}
    assert move_all(scene.run, (AUDIT,)) == {"audit": everything}
    assert count(scene, PAST_AUDIT) == everything


def test_a_retried_job_brings_its_failed_resource_back(scene: Scene) -> None:
    from orchestrator.jobs import lifecycle as jobs

    robot, given = scene.robot("r1"), resource(scene)
    guid = scene.in_progress(robot, resource=given)
    scene.report(robot, guid, Status.FAILED, error="no")
    assert move_all(scene.run, (JOBS, RESOURCES)) == {"jobs": 1, "resources": 1}
    new = "11111111-1111-4111-8111-111111111111"
    scene.run(lambda tx: jobs.retry(tx, guid, new))
    assert scene.job(new).retry_of == guid
    assert scene.run(lambda tx: lifecycle.existing(tx, given)).status == 0
