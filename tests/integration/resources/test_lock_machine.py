"""The verbs on a database against a plain model of Robin's lock table, step by step."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import insert, update

from orchestrator.database import new_guid
from orchestrator.errors import BotswainError
from orchestrator.resources import create, lifecycle, queues, recovery, search
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import MODES, Initiator, Mode
from orchestrator.resources.model import ErrorKind
from orchestrator.resources.queues import NewQueue
from orchestrator.runs.model import Run
from tests.integration.scene import Scene

LONG = os.environ.get("BOTSWAIN_LONG_DRILLS") == "1"
EXAMPLES = {"sqlite": 10_000 if LONG else 40, "mariadb": 300 if LONG else 8, "postgres": 300 if LONG else 8}
ATTEMPTS = 3
PERSON = "alice"
NEW, IN_PROGRESS, PROCESSED, ERROR = 0, 1, 2, 3
ROBOTS = [0, 1, 2]

who_is_there = st.sampled_from([*ROBOTS, PERSON])
which = st.sampled_from([0, 1])
locks = st.sampled_from(["read", "write", "both"])
durations = st.none() | st.integers(1, 6)


@dataclass
class Lock:
    holder: Any
    until: datetime | None
    fence: int


@dataclass
class Item:
    """A resource as the document describes it."""

    status: int = NEW
    attempt: int = 0
    worker: Any = None
    fence: int = 0
    value: Any = 0
    locks: dict[str, Lock] = field(default_factory=dict)

    def lock(self, mode: str, now: datetime) -> Lock | None:
        lock = self.locks.get(mode)
        return None if lock is None or (lock.until is not None and lock.until <= now) else lock

    def stops(self, who: Any, modes: Any, now: datetime) -> bool:
        if who == PERSON:
            return False
        return any((lock := self.lock(mode, now)) is not None and lock.holder != who for mode in modes)

    def own(self, who: Any, now: datetime) -> list[str]:
        return [m for m in ("read", "write") if (lock := self.lock(m, now)) and lock.holder == who]

    def is_stale(self, who: Any, fence: int | None, now: datetime) -> bool:
        return fence not in (None, self.fence, *(self.locks[mode].fence for mode in self.own(who, now)))

    def grant(self, who: Any, modes: Any, until: datetime | None) -> None:
        self.fence += 1
        for mode in modes:
            self.locks[mode] = Lock(who, until, self.fence)


class LockMachine(RuleBasedStateMachine):
    scene: ClassVar[Scene]
    serial: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        LockMachine.serial += 1
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.queue = f"q{LockMachine.serial}"
        orders = [NewResource(value=0) for _ in range(2)]
        self.ids = [order.guid for order in orders]

        def work(tx: Any) -> None:
            queues.create(tx, NewQueue(self.queue, max_attempts=ATTEMPTS))
            create.create(tx, self.queue, orders)

        self.do(work)
        self.items = [Item(), Item()]
        self.runs = [self.new_run(robot) for robot in ROBOTS]

    def new_run(self, robot: int) -> int:
        row = {
            "tenant_id": 1,
            "job_id": 1,
            "job_guid": new_guid(),
            "robot_id": robot,
            "attempt": 1,
            "fence": 1,
            "uses_resources": False,
            "consumed_at": self.now,
        }
        return int(self.do(lambda tx: tx.connection.execute(insert(Run), row).inserted_primary_key[0]))

    def do(self, work: Any) -> Any:
        return self.scene.run(lambda tx: work(replace(tx, now=self.now)))

    def who(self, name: Any) -> tuple[Any, Initiator]:
        """The holder in the model, and the initiator of the verbs."""
        if name == PERSON:
            return PERSON, Initiator(person=PERSON)
        return self.runs[name], Initiator(run_id=self.runs[name])

    def until(self, seconds: int | None) -> datetime | None:
        return None if seconds is None else self.now + timedelta(seconds=seconds)

    def outcome(self, work: Any) -> Any:
        """What a verb returned, or the code of its refusal; and, in the same transaction, what it left."""

        def tried(tx: Any) -> Any:
            try:
                result = work(tx)
            except BotswainError as refusal:
                result = refusal.code
            self.rows = [search.by_public_id(tx, one) for one in self.ids]
            return result

        return self.do(tried)

    def fence(self, item: Item, offset: int | None) -> int | None:
        return None if offset is None else max(item.fence - offset, 0)

    # Rules ----------------------------------------------------------------------------------------------

    @rule(name=who_is_there, lock=st.sampled_from(["none", "read", "write", "both"]), seconds=durations)
    def take(self, name: Any, lock: str, seconds: int | None) -> None:
        me, initiator = self.who(name)
        modes, until = MODES[lock], self.until(seconds)
        free = [
            number
            for number, item in enumerate(self.items)
            if item.status == NEW and not item.stops(me, {"read", *modes}, self.now)
        ]

        def work(tx: Any) -> Any:
            where, first = Condition.read({}), lambda ids: ids[0]
            return lifecycle.take(tx, self.queue, where, initiator, modes, until, first)

        taken = self.outcome(work)
        assert (taken is None) == (not free), taken
        if not free:
            return self.compare()
        item = self.items[free[0]]
        assert taken.row["public_id"] == self.ids[free[0]]
        if modes:
            item.grant(me, modes, until)
            assert taken.fence == item.fence
        if Mode.READ in modes:
            item.status, item.attempt = IN_PROGRESS, item.attempt + 1
            item.worker = None if me == PERSON else me
        return self.compare()

    @rule(name=who_is_there, number=which, lock=locks, seconds=durations, back=st.none() | st.integers(0, 3))
    def lock(self, name: Any, number: int, lock: str, seconds: int | None, back: int | None) -> None:
        me, initiator = self.who(name)
        item, until = self.items[number], self.until(seconds)
        fence = self.fence(item, back)
        came = self.outcome(
            lambda tx: lifecycle.lock(tx, self.ids[number], initiator, MODES[lock], until, fence)
        )
        if item.is_stale(me, fence, self.now):
            assert came == "stale_fence"
        elif item.stops(me, MODES[lock], self.now):
            assert came == "locked"
        else:
            item.grant(me, MODES[lock], until)
            assert came.fence == item.fence
        self.compare()

    @rule(name=who_is_there, number=which, lock=locks, back=st.none() | st.integers(0, 3))
    def unlock(self, name: Any, number: int, lock: str, back: int | None) -> None:
        me, initiator = self.who(name)
        item = self.items[number]
        fence = self.fence(item, back)
        came = self.outcome(lambda tx: lifecycle.unlock(tx, self.ids[number], initiator, MODES[lock], fence))
        if item.is_stale(me, fence, self.now):
            assert came == "stale_fence"
        elif item.stops(me, MODES[lock], self.now) and not set(MODES[lock]) & set(item.own(me, self.now)):
            assert came == "locked"
        else:
            assert not isinstance(came, str)
            for mode in MODES[lock] if me == PERSON else set(MODES[lock]) & set(item.own(me, self.now)):
                item.locks.pop(mode, None)
        self.compare()

    @rule(name=who_is_there, number=which, value=st.integers(0, 9), back=st.none() | st.integers(0, 3))
    def change(self, name: Any, number: int, value: int, back: int | None) -> None:
        me, initiator = self.who(name)
        item = self.items[number]
        fence = self.fence(item, back)
        came = self.outcome(
            lambda tx: lifecycle.change(tx, self.ids[number], initiator, {"value": value}, fence)
        )
        if item.is_stale(me, fence, self.now):
            assert came == "stale_fence"
        elif item.stops(me, ["write"], self.now):
            assert came == "locked"
        else:
            item.value = value
        self.compare()

    @rule(name=who_is_there, number=which, back=st.none() | st.integers(0, 3))
    def read(self, name: Any, number: int, back: int | None) -> None:
        me, initiator = self.who(name)
        item = self.items[number]
        fence = self.fence(item, back)
        came = self.outcome(lambda tx: lifecycle.read(tx, self.ids[number], initiator, fence))
        assert (came == "stale_fence") == item.is_stale(me, fence, self.now)
        if came != "stale_fence":
            assert (came == "locked") == item.stops(me, ["read"], self.now)

    @rule(
        name=who_is_there,
        number=which,
        kind=st.sampled_from([None, *list(ErrorKind)[:2]]),
        back=st.none() | st.integers(0, 3),
    )
    def finish(self, name: Any, number: int, kind: ErrorKind | None, back: int | None) -> None:
        me, initiator = self.who(name)
        item = self.items[number]
        fence = self.fence(item, back)
        before = item.status
        came = self.outcome(
            lambda tx: lifecycle.finish(tx, self.ids[number], initiator, error_kind=kind, fence=fence)
        )
        own = item.own(me, self.now)
        if item.is_stale(me, fence, self.now):
            assert came == "stale_fence"
        elif me != PERSON and item.worker not in (None, me):
            assert came == "conflict"
        elif item.stops(me, ["write"], self.now):
            assert came == "locked"
        elif before in (PROCESSED, ERROR) and me != PERSON and not own:
            assert came == "conflict" or came["status"] == before
        else:
            item.status, item.worker = (PROCESSED if kind is None else ERROR), None
            for mode in ["read", "write"] if me == PERSON else own:
                item.locks.pop(mode, None)
        self.compare()

    @rule(robot=st.sampled_from(ROBOTS))
    def end_run(self, robot: int) -> None:
        ended = self.runs[robot]

        def work(tx: Any) -> None:
            tx.execute(update(Run).where(Run.id == ended).values(ended_at=tx.now))
            recovery.run_ended(tx, ended)

        self.do(work)
        for item in self.items:
            undated = [m for m, lock in item.locks.items() if lock.holder == ended and lock.until is None]
            for mode in undated:
                del item.locks[mode]
            if item.worker == ended:
                item.worker = None
                if item.status == IN_PROGRESS:
                    item.status = NEW if item.attempt < ATTEMPTS else ERROR
        late = Initiator(run_id=ended)
        assert self.outcome(lambda tx: lifecycle.lock(tx, self.ids[0], late, MODES["both"], None)) in (
            "no_run",
            "locked",
        )
        self.runs[robot] = self.new_run(robot)
        self.compare()

    @rule(seconds=st.integers(1, 4))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    # What it must look like -----------------------------------------------------------------------------

    def compare(self) -> None:
        for item, row in zip(self.items, self.rows, strict=True):
            assert row is not None
            assert (row.status, row.attempt, row.taken_by, row.fence, row.value) == (
                item.status,
                item.attempt,
                item.worker,
                item.fence,
                item.value,
            )
            for mode in ("read", "write"):
                assert self.seen(row, mode) == item.lock(mode, self.now)

    def seen(self, row: Any, mode: str) -> Lock | None:
        holder = getattr(row, f"{mode}_run_id") or getattr(row, f"{mode}_person")
        until = getattr(row, f"{mode}_until")
        if holder is None or (until is not None and until <= self.now):
            return None
        return Lock(holder, until, getattr(row, f"{mode}_fence"))


@pytest.fixture
def machine(scene: Scene) -> type[LockMachine]:
    LockMachine.scene = scene
    return LockMachine


@pytest.mark.timeout(3600)
def test_the_verbs_do_what_the_model_does(machine: type[LockMachine], dialect: str) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[dialect],
            stateful_step_count=12,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
