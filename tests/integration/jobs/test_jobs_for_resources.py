"""A job created for a resource: its input, its lock, and how both end."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import Invalid
from orchestrator.jobs import lifecycle, recovery
from orchestrator.jobs.states import Status
from orchestrator.resources import create, queues, search
from orchestrator.resources import lifecycle as resources
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import ResourceStatus
from orchestrator.resources.queues import NewQueue
from tests.integration.conftest import on
from tests.integration.scene import PERSON, Scene

NEW, IN_PROGRESS, PROCESSED, ERROR = ResourceStatus
ALICE = Initiator(person="alice")


def resource(scene: Scene, **policy: Any) -> str:
    """The id of a resource in a new queue `q`."""
    scene.run(lambda tx: queues.create(tx, NewQueue("q", **policy)))
    new = NewResource(value={"n": 1}, reference="INV-7", parameters={"region": "ES", "page": 2})
    return scene.run(lambda tx: create.create(tx, "q", [new])[0])


def now(scene: Scene, public_id: str) -> Any:
    return scene.run(lambda tx: search.by_public_id(tx, public_id))


def test_the_resource_is_the_input_and_is_processed_with_the_job(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    (guid,) = scene.pending(resource=one, arguments={"page": 1, "mode": "fast"})
    assert now(scene, one).status == NEW
    consumed = scene.consume(robot)
    queue = scene.run(lambda tx: queues.existing(tx, "q"))
    assert (consumed.input.guid, consumed.input.name) == (one, "INV-7")
    assert consumed.input.queue_guid == queue.public_id
    assert consumed.input.parameters == {"mode": "fast", "page": 2, "region": "ES", "value": {"n": 1}}
    (run,) = scene.runs(guid)
    row = now(scene, one)
    assert (row.status, row.read_run_id, row.taken_by, row.attempt) == (IN_PROGRESS, run.id, run.id, 1)

    assert scene.consume(robot).input == consumed.input  # the answer was lost: the same again
    assert now(scene, one).attempt == 1
    scene.report(robot, guid, Status.IN_PROGRESS)
    scene.report(robot, guid, Status.SUCCESS, result={"sum": 5})
    row = now(scene, one)
    assert (row.status, row.result, row.read_run_id, row.taken_by) == (PROCESSED, {"sum": 5}, None, None)


@pytest.mark.parametrize(("retries", "status"), [(False, ERROR), (True, NEW)])
@on("sqlite")
def test_a_failed_job_fails_its_resource_by_the_queues_policy(
    scene: Scene, retries: bool, status: ResourceStatus
) -> None:
    one, robot = resource(scene, retry_application_errors=retries), scene.robot("r1")
    guid = scene.in_progress(robot, resource=one)
    scene.report(robot, guid, Status.FAILED, error="no such file")
    row = now(scene, one)
    assert (row.status, row.error, row.error_kind) == (status, "no such file", "application")


@on("sqlite")
@pytest.mark.parametrize("end", [Status.STOPPED, Status.ABORTED])
def test_a_stopped_run_gives_it_back(scene: Scene, end: Status) -> None:
    one, robot = resource(scene), scene.robot("r1")
    guid = scene.in_progress(robot, resource=one)
    scene.report(robot, guid, end)
    assert (now(scene, one).status, now(scene, one).read_run_id) == (NEW, None)


def test_a_lost_run_gives_it_back_and_the_next_attempt_has_it_again(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    guid = scene.in_progress(robot, resource=one, on_lost="requeue", max_attempts=2)
    begun = scene.job(guid)
    scene.run(lambda tx: recovery.lose(tx, begun, "lost", "The robot fell silent."))
    assert now(scene, one).status == NEW
    scene.dispatch()
    consumed = scene.consume(robot)
    assert (consumed.job.guid, consumed.input.guid) == (guid, one)
    assert (now(scene, one).status, now(scene, one).attempt) == (IN_PROGRESS, 2)


@on("sqlite")
def test_what_the_script_has_finished_itself_stays_so(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    guid = scene.in_progress(robot, resource=one)
    (run,) = scene.runs(guid)
    who = Initiator(run_id=run.id, job_guid=guid)
    scene.run(lambda tx: resources.finish(tx, one, who, result="by the script"))
    scene.report(robot, guid, Status.FAILED, error="later")
    assert (now(scene, one).status, now(scene, one).result) == (PROCESSED, "by the script")


def test_a_job_whose_resource_is_gone_or_taken_is_cancelled_and_the_next_is_handed_out(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    gone, locked = scene.pending(2, resource=one)
    (plain,) = scene.pending()
    scene.run(lambda tx: resources.lock(tx, one, ALICE, (Mode.READ,), None))
    consumed = scene.consume(robot)
    assert (consumed.job.guid, consumed.input) == (plain, None)
    for guid in (gone, locked):
        job = scene.job(guid)
        assert (job.status, job.reason) == (Status.STOPPED, "resource_unavailable")
        assert "locked by another" in job.error
    row = now(scene, one)
    assert (row.status, row.read_person, row.attempt) == (NEW, "alice", 0)


@on("sqlite")
def test_another_write_lock_does_not_keep_the_job_from_ending(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    guid = scene.in_progress(robot, resource=one)
    scene.run(lambda tx: resources.lock(tx, one, ALICE, (Mode.WRITE,), None))
    scene.report(robot, guid, Status.SUCCESS, result=1)
    assert scene.job(guid).status == Status.SUCCESS
    assert (now(scene, one).status, now(scene, one).read_run_id) == (NEW, None)


@on("sqlite")
def test_a_retried_job_renews_a_resource_that_had_failed(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    guid = scene.in_progress(robot, resource=one)
    scene.report(robot, guid, Status.FAILED, error="x")
    new = scene.run(lambda tx: lifecycle.retry(tx, guid, "0" * 32), actor=PERSON)
    assert now(scene, one).status == NEW
    assert scene.job(new).resource_id == now(scene, one).id


@on("sqlite")
def test_a_job_is_for_a_new_resource_and_its_arguments_are_an_object(scene: Scene) -> None:
    one = resource(scene)
    with pytest.raises(Invalid) as wrong:
        scene.create(resource=one, arguments=[1])
    assert wrong.value.errors[0].field == "arguments"
    scene.run(lambda tx: resources.finish(tx, one, ALICE))
    for key in (one, "nobody"):
        with pytest.raises(Invalid) as wrong:
            scene.create(resource=key)
        assert wrong.value.errors[0].field == "resource"


@on("sqlite")
def test_a_job_whose_resource_was_finished_meanwhile_is_cancelled(scene: Scene) -> None:
    one, robot = resource(scene), scene.robot("r1")
    (guid,) = scene.pending(resource=one)
    scene.run(lambda tx: resources.finish(tx, one, ALICE, result="by hand"))
    assert scene.consume(robot).job is None
    assert (scene.job(guid).status, scene.job(guid).reason) == (Status.STOPPED, "resource_unavailable")
    assert (now(scene, one).status, now(scene, one).result) == (PROCESSED, "by hand")
