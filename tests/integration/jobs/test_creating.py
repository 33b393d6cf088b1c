"""Jobs are created all or none, and each has its task, its place and its line of history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from orchestrator.errors import Invalid, NotAllowedNow
from orchestrator.jobs import lifecycle
from orchestrator.jobs.lifecycle import NewJob
from orchestrator.jobs.states import Status
from orchestrator.processes import lifecycle as processes
from orchestrator.tasks.model import RANK_SHIFT, Task, TaskStatus
from tests.integration.conftest import on
from tests.integration.scene import PERSON, Scene


def test_a_job_has_a_task_at_its_place_and_history_says_which(scene: Scene) -> None:
    (guid,) = scene.create(priority=30, arguments={"city": "Kraków"})
    job = scene.job(guid)
    (line,) = scene.history(guid)
    task = scene.run(lambda tx: tx.execute(select(Task).where(Task.subject_id == job.id)).one())
    assert (job.status, job.arguments, job.target, job.fence) == (0, {"city": "Kraków"}, "any", 0)
    assert (line.event, line.partition, line.seq) == ("create", task.partition, task.seq)
    assert task.position == 70 * RANK_SHIFT + task.seq
    assert line.actor == "person:alice"


@on("sqlite")
def test_one_wrong_order_of_many_creates_none_and_is_named_by_its_place(scene: Scene) -> None:
    def nothing(tx: object) -> None:
        pass

    _, before = scene.trial(nothing)
    scene.run(lambda tx: processes.create(tx, "unpublished"))
    _, with_process = scene.trial(nothing)
    orders = [NewJob("invoices") for _ in range(6)]
    orders[1].robot, orders[1].group = "r", "g"
    orders[3].process = "nowhere"
    orders[4].process = "unpublished"
    orders[5].version = 7
    outcome, after = scene.trial(lambda tx: lifecycle.create(tx, orders))
    assert isinstance(outcome, Invalid)
    assert [error.field for error in outcome.errors] == ["1.group", "3.process", "4.process", "5.version"]
    assert after == with_process != before


@on("sqlite")
def test_a_single_wrong_order_names_the_field_alone(scene: Scene) -> None:
    with pytest.raises(Invalid) as invalid:
        scene.create(robot="nobody")
    assert [error.field for error in invalid.value.errors] == ["robot"]


def test_a_thousand_at_once_are_in_line_once_each(scene: Scene) -> None:
    guids = scene.create(1000)
    rows = scene.run(lambda tx: tx.execute(select(Task.partition, Task.seq, Task.guid)).all())
    assert len(set(guids)) == len(rows) == 1000
    assert len({(row.partition, row.seq) for row in rows}) == 1000


@on("sqlite")
def test_a_job_for_later_waits_postponed(scene: Scene) -> None:
    now = scene.past(0)
    (guid,) = scene.create(not_before=now + timedelta(hours=1))
    job = scene.job(guid)
    task = scene.run(lambda tx: tx.execute(select(Task).where(Task.subject_id == job.id)).one())
    assert task.status == TaskStatus.POSTPONED
    scene.dispatch()
    assert scene.job(guid).status == Status.CREATED


@on("sqlite")
def test_a_retry_is_a_new_job_that_names_the_one_it_retries(scene: Scene) -> None:
    robot = scene.robot("r1", group="office")
    guid = scene.in_progress(robot, priority=5, arguments={"a": 1}, on_lost="requeue", max_attempts=3)
    new = NewJob("").guid
    with pytest.raises(NotAllowedNow):
        scene.run(lambda tx: lifecycle.retry(tx, guid, new))
    scene.report(robot, guid, Status.FAILED)
    before = scene.job(guid)
    assert scene.run(lambda tx: lifecycle.retry(tx, guid, new), actor=PERSON) == new
    job = scene.job(new)
    assert scene.job(guid) == before
    assert (job.retry_of, job.target, job.priority, job.arguments) == (guid, before.target, 5, {"a": 1})
    assert (job.status, job.attempt, job.on_lost, job.max_attempts) == (0, 1, "requeue", 3)
