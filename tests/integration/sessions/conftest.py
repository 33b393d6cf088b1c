"""A database with a robot, a worker node and a process, and short ways to make jobs wait."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import create_engine, make_url, update

from orchestrator.cluster import worker_nodes
from orchestrator.cluster.lifecycle import WORKER, NodeIdentity
from orchestrator.cluster.model import Node
from orchestrator.database import engine_options, prepare
from orchestrator.jobs import lifecycle as jobs
from orchestrator.jobs.lifecycle import NewJob
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.processes import lifecycle as processes
from orchestrator.processes.packages import check
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.lifecycle import NewRobot
from orchestrator.sessions import nodes
from orchestrator.sessions.lifecycle import begin
from orchestrator.sessions.model import Session
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import Fact, Transactions
from scheduler.maintenance import sessions as duty
from scheduler.term import Term

RUN_LEASE = timedelta(seconds=45)


def digest(text: str) -> str:
    return f"digest-of-{text}"


@dataclass
class Office:
    transactions: Transactions
    facts: list[Fact] = field(default_factory=list)

    def run(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return self.transactions.run(lambda tx: work(tx, *arguments, **options), tenant_id=DEFAULT_TENANT)

    def robot(self, name: str = "Ана", node: str = "worker-1", **options: Any) -> Any:
        self.run(lambda tx: robots.create(tx, NewRobot(name=name, node=node, **options), digest))
        return self.run(robots.existing, name)

    def node(self, name: str = "worker-1") -> NodeIdentity:
        me = NodeIdentity(name=name, kind=WORKER, host="desk", pid=4711, working_path="")
        self.keep(me)
        return me

    def keep(self, me: NodeIdentity, *held: str) -> nodes.Orders:
        orders: nodes.Orders = self.run(nodes.keep, me, {"slots": 4}, held)
        return orders

    def job(self, **options: Any) -> str:
        """A job that waits, as if a scheduler had handed it out."""

        def make(tx: Any) -> str:
            guid: str = jobs.create(tx, [NewJob(process="Счета", **options)])[0].values["guid"]
            pending = update(Job).where(Job.guid == guid)
            tx.execute(pending.values(status=Status.PENDING.value, pending_at=tx.now))
            return guid

        guid: str = self.run(make)
        return guid

    def ask(self) -> int:
        return self.counts(duty.ask)["asked"]

    def lapse(self) -> int:
        return self.counts(duty.lapse)["lapsed"]

    def counts(self, part: Callable[[Term], Counter[str]]) -> Counter[str]:
        """Of what a part of the master's duty did."""
        parts = SimpleNamespace(run_lease=RUN_LEASE)
        return part(cast(Term, SimpleNamespace(parts=parts, run=self.run)))

    def sessions(self) -> list[Any]:
        rows: list[Any] = self.run(lambda tx: tx.execute(Session.__table__.select().order_by("id")).all())
        return rows

    def begin(self, session: Any, guid: str | None = None) -> str:
        """A node has started the task; returns the session's GUID."""
        guid = guid or str(uuid.uuid4())
        self.run(begin, session.id, session.node, digest(guid))
        return guid

    def later(self, seconds: float) -> None:
        """Everything that sessions remember happened that much earlier."""
        moved = timedelta(seconds=seconds)
        times = ("asked_at", "opened_at", "last_seen", "closed_at")

        def move(tx: Any) -> None:
            for row in tx.execute(Session.__table__.select()).all():
                values = {name: getattr(row, name) - moved for name in times if getattr(row, name)}
                tx.execute(update(Session).where(Session.id == row.id).values(**values))

        self.run(move)

    def silence(self, node: str) -> None:
        """The node's lease has ended."""
        past = timedelta(seconds=60)
        self.run(
            lambda tx: tx.execute(update(Node).where(Node.name == node).values(lease_until=tx.now - past))
        )

    def change(self, robot: Any, **values: Any) -> None:
        self.run(lambda tx: robots._update(tx, robot, **values))


@pytest.fixture
def office(migrated_database_url: str) -> Iterator[Office]:
    url = make_url(migrated_database_url)
    engine = prepare(create_engine(url, **engine_options(url)))
    office = Office(Transactions(engine))
    office.run(processes.create, "Счета")
    office.run(processes.publish, "Счета", check("job.py", b"print(1)"))
    yield office
    engine.dispose()


__all__ = ["RUN_LEASE", "Office", "digest", "worker_nodes"]
