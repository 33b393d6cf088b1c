"""What is named by a number alone is still of one tenant: another's number finds and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import NoResultFound

from orchestrator.resources import queues, waits
from orchestrator.resources.locks import MODES, Initiator
from orchestrator.resources.model import Wait
from orchestrator.resources.queues import NewQueue
from orchestrator.runs import lifecycle as runs
from orchestrator.runs.model import Run
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import Scene

pytestmark = on("sqlite")
ANOTHER = 2


@pytest.fixture
def queue(scene: Scene) -> Any:
    scene.run(lambda tx: queues.create(tx, NewQueue("orders")))
    return scene.run(lambda tx: queues.existing(tx, "orders"))


def test_a_queue(scene: Scene, queue: Any) -> None:
    assert scene.run(lambda tx: queues.by_id(tx, queue.id)).name == "orders"
    with pytest.raises(NoResultFound):
        scene.run(lambda tx: queues.by_id(tx, queue.id), tenant_id=ANOTHER)


def test_a_place_in_line(scene: Scene, queue: Any) -> None:
    robot = scene.robot("r1")
    scene.in_progress(robot)
    run = scene.run(lambda tx: runs.of_robot(tx, robot.id, None))

    def join(tx: Transaction) -> int:
        return waits.join(tx, Initiator(run_id=run.id), MODES["read"], queue_id=queue.id)

    ticket = scene.run(join)

    def place(tx: Transaction) -> Any:
        return tx.execute(select(Wait.id, Wait.alive_until).where(Wait.id == ticket)).one_or_none()

    before = scene.run(place)
    scene.run(lambda tx: waits.stay(tx, ticket), tenant_id=ANOTHER)
    scene.run(lambda tx: waits.leave(tx, ticket, []), tenant_id=ANOTHER)
    assert scene.run(place) == before
    assert not scene.run(lambda tx: waits.earlier_in_queue(tx, queue.id, ticket + 1), tenant_id=ANOTHER)
    scene.run(lambda tx: waits.leave(tx, ticket, []))
    assert scene.run(place) is None


def test_a_run_and_its_end_which_is_one(scene: Scene) -> None:
    robot = scene.robot("r1")
    scene.in_progress(robot)
    job_id, run_id = scene.run(lambda tx: tx.execute(select(Run.job_id, Run.id)).one())

    def ended_at(tx: Transaction) -> Any:
        return tx.execute(select(Run.ended_at).where(Run.id == run_id)).scalar_one()

    assert scene.run(lambda tx: runs.end(tx, job_id), tenant_id=ANOTHER) == []
    assert scene.run(ended_at) is None
    assert [run.id for run in scene.run(lambda tx: runs.end(tx, job_id))] == [run_id]
    first = scene.run(ended_at)
    assert scene.run(lambda tx: runs.end(tx, job_id)) == []
    assert scene.run(ended_at) == first
