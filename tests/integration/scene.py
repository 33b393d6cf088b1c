"""A product on one database, with robots, a process and jobs, driven by the verbs and without HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, make_url, select, update
from sqlalchemy.engine import default

from orchestrator import schema
from orchestrator.database import Base, database_time, engine_options, prepare
from orchestrator.jobs import consume, dispatch, lifecycle, moves, report
from orchestrator.jobs.lifecycle import NewJob
from orchestrator.jobs.model import Job, JobHistory
from orchestrator.jobs.report import Report
from orchestrator.jobs.states import Status
from orchestrator.processes import lifecycle as processes
from orchestrator.processes import packages
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.lifecycle import NewRobot
from orchestrator.runs.model import Run
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import Batch, ClaimedTask, Ownership, claim
from orchestrator.tasks.model import Lane, Task, TaskStatus
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import SYSTEM, Actor, Transaction, Transactions

Result = TypeVar("Result")
LEASE = timedelta(seconds=45)
PERSON = Actor("person", "alice")
SCHEDULER = Actor("scheduler", "scheduler-1")
READY, WORKING = 2, 3

Row = tuple[Any, ...]
Tables = dict[str, list[Row]]
_EVERYTHING = {
    table.name: str(select(table).order_by(*table.primary_key).compile(dialect=default.DefaultDialect()))
    for table in schema.metadata().sorted_tables
}


class _UndoError(Exception):
    pass


@dataclass
class Scene:
    transactions: Transactions
    process: str = "invoices"
    _owned: dict[int, Ownership] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def open(cls, url: str) -> Iterator[Scene]:
        engine = _engine(make_url(url))
        try:
            yield cls(Transactions(engine))
        finally:
            engine.dispose()

    def run(
        self,
        work: Callable[[Transaction], Result],
        *,
        actor: Actor = SYSTEM,
        tenant_id: int = DEFAULT_TENANT,
    ) -> Result:
        return self.transactions.run(work, tenant_id=tenant_id, actor=actor)

    def trial(
        self,
        work: Callable[[Transaction], Result],
        *,
        actor: Actor = SYSTEM,
        tenant_id: int = DEFAULT_TENANT,
    ) -> tuple[Result | Exception, Tables]:
        """What `work` returned or raised, and all tables as they were after it; then it is undone."""
        seen: list[tuple[Any, Tables]] = []

        def tried(tx: Transaction) -> None:
            try:
                outcome: Any = work(tx)
            except Exception as error:
                outcome = error
            seen.append((outcome, contents(tx)))
            raise _UndoError

        with suppress(_UndoError):
            self.run(tried, actor=actor, tenant_id=tenant_id)
        return seen[-1]

    # Robots and processes -------------------------------------------------------------------------------

    def robot(self, name: str, **attributes: Any) -> Any:
        self.run(lambda tx: robots.create(tx, NewRobot(name, **attributes), lambda text: f"d:{text}"))
        return self.robot_now(name)

    def robot_now(self, name: str) -> Any:
        return self.run(lambda tx: robots.existing(tx, name))

    def publish(self, name: str = "invoices") -> str:
        def work(tx: Transaction) -> None:
            processes.create(tx, name)
            processes.publish(tx, name, packages.check("main.py", b"print(1)\n"))

        self.run(work)
        self.process = name
        return name

    # Jobs -----------------------------------------------------------------------------------------------

    def create(self, count: int = 1, **order: Any) -> list[str]:
        orders = [NewJob(self.process, **order) for _ in range(count)]
        made = self.run(lambda tx: lifecycle.create(tx, orders), actor=PERSON)
        return [job.values["guid"] for job in made]

    def job(self, guid: str) -> Any:
        row = self.run(lambda tx: moves.find(tx, guid))
        assert row is not None
        return row

    def history(self, guid: str) -> list[Any]:
        query = (
            select(*JobHistory.__table__.columns)
            .join(Job, Job.id == JobHistory.job_id)
            .where(Job.guid == guid)
            .order_by(JobHistory.id)
        )
        return self.run(lambda tx: list(tx.execute(query).all()))

    def runs(self, guid: str) -> list[Any]:
        query = select(*Run.__table__.columns).join(Job, Job.id == Run.job_id).where(Job.guid == guid)
        return self.run(lambda tx: list(tx.execute(query.order_by(Run.id)).all()))

    def claim_all(self) -> list[ClaimedTask]:
        """Every task of the schedulers' lane that is in line now."""
        in_line = select(Task.partition).where(Task.status == TaskStatus.QUEUED.value)

        def work(tx: Transaction) -> list[ClaimedTask]:
            waiting = tx.execute(in_line.where(Task.lane == Lane.SCHEDULER.value).distinct()).scalars()
            new = sorted(waiting)
            gained = partitions.acquire(tx, set(new) - set(self._owned), "s1", timedelta(hours=1))
            self._owned |= {ownership.partition: ownership for ownership in gained}
            return [
                task
                for partition in new
                for task in claim(tx, self._owned[partition], Lane.SCHEDULER, 1000, LEASE).tasks
            ]

        return self.run(work, actor=SCHEDULER)

    def dispatch(self) -> None:
        claimed = self.claim_all()
        self.run(lambda tx: dispatch.dispatch(tx, claimed), actor=SCHEDULER)

    def pending(self, count: int = 1, **order: Any) -> list[str]:
        guids = self.create(count, **order)
        self.dispatch()
        return guids

    def consume(self, robot: Any, status: int | None = READY) -> Any:
        def work(tx: Transaction) -> Any:
            locked = robots.authenticate(tx, robot.guid_digest, lock=True)
            return consume.consume(tx, locked, status, LEASE)

        return self.run(work, actor=actor_of(robot))

    def consume_in(self, tx: Transaction, robot: Any) -> Any:
        return consume.consume(tx, robot, READY, LEASE)

    def one_after_the_other(
        self,
        first: Callable[[Transaction], Any],
        second: Callable[[Transaction], Any],
        actor: Actor = SYSTEM,
    ) -> tuple[Any, Any, str]:
        """`second` begins while `first` has done its work and not yet committed; what each gave, and
        whether the second «waited» for the first's commit or «passed» it.

        For the servers: in SQLite the second could not even begin. The first commits as soon as the
        second waits for a lock, or has come to its end without one.
        """
        came: list[Any] = []

        def follow() -> None:
            try:
                came.append(self.run(second, actor=actor))
            except Exception as error:
                came.append(error)

        def lead(tx: Transaction) -> Any:
            outcome = first(tx)
            follower.start()
            end = time.monotonic() + 10
            while follower.is_alive() and not self._someone_waits() and time.monotonic() < end:
                follower.join(0.12)  # InnoDB tells news of its locks only to who has not asked for 0.1 s
            order.append("waited" if follower.is_alive() else "passed")
            return outcome

        order: list[str] = []
        follower = threading.Thread(target=follow, daemon=True)
        led = self.run(lead, actor=actor)
        follower.join(30)
        return led, came[0], order[-1]

    def _someone_waits(self) -> bool:
        """In this database: the server is shared with other tests of the run."""
        waits = {
            "mysql": "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist "
            "ON id = trx_mysql_thread_id WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()",
            "postgresql": "SELECT COUNT(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        }
        engine = self.transactions.engine
        with engine.connect() as connection:
            return bool(connection.exec_driver_sql(waits[engine.dialect.name]).scalar_one())

    def report(self, robot: Any, guid: str, status: int, **more: Any) -> Status:
        told = Report(guid, Status(status), **more)
        return self.run(lambda tx: report.report(tx, robot, told), actor=actor_of(robot))

    def stop(self, guid: str) -> None:
        self.run(lambda tx: lifecycle.stop(tx, guid), actor=PERSON)

    def abort(self, guid: str) -> None:
        self.run(lambda tx: lifecycle.abort(tx, guid, timedelta(seconds=30)), actor=PERSON)

    def in_progress(self, robot: Any, **order: Any) -> str:
        """The GUID of a job that `robot` has begun."""
        (guid,) = self.pending(robot=robot.name, **order)
        assert self.consume(robot).job.guid == guid
        self.report(robot, guid, Status.IN_PROGRESS)
        return guid

    def set_job(self, guid: str, **values: Any) -> None:
        """Past the verbs: to let a lease lapse without waiting for it."""
        self.run(lambda tx: tx.execute(update(Job).where(Job.guid == guid).values(**values)))

    def past(self, seconds: float = 1) -> Any:
        """A moment ago, by the database's clock."""
        now = self.run(lambda tx: tx.execute(select(database_time())).scalar_one())
        return now - timedelta(seconds=seconds)

    # Tasks ----------------------------------------------------------------------------------------------

    def task(self, guid: str) -> Any:
        query = select(*Task.__table__.columns).where(Task.guid == guid)
        return self.run(lambda tx: tx.execute(query).one())

    def set_task(self, guid: str, **values: Any) -> None:
        self.run(lambda tx: tx.execute(update(Task).where(Task.guid == guid).values(**values)))

    def own(self, wanted: list[int], owner: str = "s1", lease: timedelta = LEASE) -> list[Ownership]:
        return self.run(lambda tx: partitions.acquire(tx, wanted, owner, lease))

    def claim(self, owned: Ownership, limit: int = 10, lane: Lane = Lane.WORKER) -> Batch:
        return self.run(lambda tx: claim(tx, owned, lane, limit, LEASE))


_ENGINES: dict[str, Engine] = {}
_FILE = {"sqlite": ""}


def _engine(url: URL) -> Engine:
    """One for each dialect in a process: each engine compiles every statement anew, which took half of the
    time of all these tests. SQLite's is led to the file of the test."""
    is_sqlite = url.get_backend_name() == "sqlite"
    key = "sqlite" if is_sqlite else url.render_as_string(hide_password=False)
    _FILE["sqlite"] = url.database or ""
    if key not in _ENGINES:
        engine = prepare(create_engine(url, **engine_options(url, pool_size=20)))
        if is_sqlite:
            event.listen(engine, "do_connect", _lead_to_the_file)
        _ENGINES[key] = engine
    return _ENGINES[key]


def _lead_to_the_file(_dialect: Any, _record: Any, arguments: list[Any], _options: Any) -> None:
    arguments[:] = [_FILE["sqlite"]]


def actor_of(robot: Any) -> Actor:
    return Actor("robot", robot.name, robot.id)


def contents(tx: Transaction) -> Tables:
    """Every row of every table, as the driver gives it: thousands of times, so without SQLAlchemy."""
    cursor = tx.connection.connection.cursor()
    found = {}
    for name, query in _EVERYTHING.items():
        cursor.execute(query)
        found[name] = list(cursor.fetchall())
    cursor.close()
    return found


def column(model: type[Base], row: Row, name: str) -> Any:
    return row[list(model.__table__.columns.keys()).index(name)]


def with_fence(row: Any, fence: int) -> Any:
    """A row as somebody else may have read it."""
    return SimpleNamespace(**{**row._asdict(), "fence": fence})


def race(*works: Callable[[], Any]) -> list[Any]:
    """Run all at once, each on a thread; what each returned or raised."""
    outcomes: list[Any] = [None] * len(works)
    gate = threading.Barrier(len(works))

    def one(number: int, work: Callable[[], Any]) -> None:
        gate.wait()
        try:
            outcomes[number] = work()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=one, args=(n, w), daemon=True) for n, w in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a racer did not come home within 60 s"
    return outcomes
