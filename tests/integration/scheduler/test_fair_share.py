"""One tenant's backlog does not hold up another's single job: not by its place, and not by its turn."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from orchestrator.jobs import dispatch, lifecycle
from orchestrator.jobs.lifecycle import NewJob
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.processes import lifecycle as processes
from orchestrator.processes import packages
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import claim
from orchestrator.tasks.heads import HeadsQuery
from orchestrator.tasks.model import PARTITIONS, Lane
from orchestrator.tasks.recovery import backlog
from orchestrator.tasks.spread import share_of
from orchestrator.tenancy import Tenant
from orchestrator.transaction import Transaction
from scheduler.lineup import Lineup
from tests.integration.conftest import on
from tests.integration.scene import LEASE, PERSON, SCHEDULER, Scene

BACKLOG = 3000


def another_tenant(scene: Scene) -> int:
    def work(tx: Transaction) -> int:
        tx.execute(insert(Tenant), {"name": "B", "created_at": tx.now})
        return int(tx.execute(select(Tenant.id).where(Tenant.name == "B")).scalar_one())

    tenant_id = scene.run(work)

    def publish(tx: Transaction) -> None:
        processes.create(tx, "theirs")
        processes.publish(tx, "theirs", packages.check("main.py", b"print(1)\n"))

    scene.run(publish, tenant_id=tenant_id)
    return tenant_id


@on("mariadb")
def test_a_single_job_passes_another_tenants_thousands(scene: Scene) -> None:
    other = another_tenant(scene)
    for _ in range(0, BACKLOG, 1000):
        scene.create(1000)
    owned = {
        one.partition: one
        for one in scene.run(
            lambda tx: partitions.acquire(tx, range(PARTITIONS), "s1", LEASE), actor=SCHEDULER
        )
    }
    line_up = Lineup()
    line_up.set_heads(scene.run(HeadsQuery(list(owned)).read))

    def serve() -> int:
        """One turn of a scheduler's thread."""
        line = line_up.take(owned, 0)
        assert line is not None
        batch = scene.run(lambda tx: claim(tx, owned[line[0]], line[1], 10, LEASE), actor=SCHEDULER)
        if batch.tasks and line[1] == Lane.SCHEDULER:
            scene.run(lambda tx: dispatch.dispatch(tx, batch.tasks), actor=SCHEDULER)
        line_up.put_back(line, batch.next_created_at, batch.next_tenant_id)
        return len(batch.tasks)

    assert [serve() for _ in range(5)] == [10] * 5
    order = NewJob("theirs")
    scene.run(lambda tx: lifecycle.create(tx, [order]), actor=PERSON, tenant_id=other)
    line_up.hint(share_of(other))  # what the commit tells the owner, its neighbour included
    turns = 0
    while handed_out(scene, order.guid) != Status.PENDING:
        serve()
        turns += 1
        assert turns <= 8, "it stood behind the backlog"
    assert scene.run(backlog) > BACKLOG - 200


def handed_out(scene: Scene, guid: str) -> Any:
    return scene.run(lambda tx: tx.execute(select(Job.status).where(Job.guid == guid)).scalar_one())
