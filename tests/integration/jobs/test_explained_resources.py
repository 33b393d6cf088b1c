"""What people are told of the resource that a job was created for, while the job waits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.insights import job_resource
from orchestrator.resources import create, lifecycle, queues
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import ErrorKind
from orchestrator.resources.queues import NewQueue
from tests.integration.conftest import on
from tests.integration.scene import Scene

ALICE = Initiator(person="alice")
pytestmark = on("sqlite")


@pytest.fixture
def resource(scene: Scene) -> str:
    new = NewQueue("q", retry_application_errors=True, retry_delay_seconds=3600)
    scene.run(lambda tx: queues.create(tx, new))
    return scene.run(lambda tx: create.create(tx, "q", [NewResource(value=1)])[0])


def told(scene: Scene, guid: str) -> dict[str, str]:
    job = scene.job(guid)
    return scene.run(lambda tx: {r.code: r.text for r in job_resource.why_it_may_not_begin(tx, job)})


def test_nothing_is_said_of_one_that_can_be_had(scene: Scene, resource: str) -> None:
    (guid,) = scene.pending(resource=resource)
    (plain,) = scene.pending()
    assert told(scene, guid) == told(scene, plain) == {}


def test_a_lock_names_its_holder_and_its_end(scene: Scene, resource: str) -> None:
    running = scene.in_progress(scene.robot("r1"))
    (run,) = scene.runs(running)
    (guid,) = scene.pending(resource=resource)

    def lock(until: timedelta | None, who: Initiator = ALICE) -> None:
        def work(tx: Any) -> None:
            lifecycle.lock(tx, resource, who, (Mode.READ,), None if until is None else tx.now + until)

        scene.run(work)

    lock(timedelta(hours=1))
    assert "locked by person alice, until 2" in told(scene, guid)["resource_locked"]
    lock(None)
    assert "locked by person alice, until somebody lifts it" in told(scene, guid)["resource_locked"]
    scene.run(lambda tx: lifecycle.unlock(tx, resource, ALICE, (Mode.READ,)))
    lock(None, Initiator(run_id=run.id, job_guid=running))
    expected = f"locked by run {running}, as long as that run lasts"
    assert expected in told(scene, guid)["resource_locked"]


def test_a_postponed_one_says_until_when(scene: Scene, resource: str) -> None:
    (guid,) = scene.pending(resource=resource)

    def postpone(tx: Any) -> None:
        lifecycle.change(tx, resource, ALICE, {"postpone_until": tx.now + timedelta(hours=1)})

    scene.run(postpone)
    assert "is postponed until 2" in told(scene, guid)["resource_postponed"]


def test_a_retry_says_which_attempt_failed_and_when_the_next_is(scene: Scene, resource: str) -> None:
    def fail(tx: Any) -> None:
        lifecycle.take(tx, "q", Condition.read({}), ALICE, (Mode.READ,), None, lambda ids: ids[0])
        lifecycle.finish(tx, resource, ALICE, error="x", error_kind=ErrorKind.APPLICATION)

    scene.run(fail)
    (guid,) = scene.pending(resource=resource)
    text = told(scene, guid)["resource_postponed"]
    assert "is to be tried again from 2" in text and "attempt 1 of 3 failed" in text


@pytest.mark.parametrize("end", ["finished", "deleted"])
def test_one_that_is_gone(scene: Scene, resource: str, end: str) -> None:
    (guid,) = scene.pending(resource=resource)
    verb = lifecycle.finish if end == "finished" else lifecycle.remove
    scene.run(lambda tx: verb(tx, resource, ALICE))
    expected = "is Processed by now" if end == "finished" else "has been deleted"
    assert expected in told(scene, guid)["resource_gone"]
