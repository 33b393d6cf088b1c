"""Many at once on a server: nobody gets what another has; and what fails when a guard is taken out.

Threads are robots here, and the verbs are called without HTTP; Redis is away, so that all go for the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import bindparam, insert, update

from orchestrator.database import new_guid
from orchestrator.errors import BotswainError
from orchestrator.insights import resources as seen
from orchestrator.resources import changes, create, lifecycle, locks, queues, recovery
from orchestrator.resources.changes import Outrun
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import MODES, Initiator
from orchestrator.resources.model import Resource
from orchestrator.resources.queues import NewQueue
from orchestrator.runs.model import Run
from tests.acceptance.drills.resource_checker import Evidence, Histories, breaches
from tests.integration.conftest import on
from tests.integration.scene import Scene, race

THREADS, RESOURCES = 16, 24
ANY = Condition.read({"status": {"in": ["New", "InProgress"]}})
LOCK = timedelta(seconds=0.3)


@dataclass
class Works:
    """A queue, and robots that empty it."""

    scene: Scene
    name: str = field(default_factory=lambda: f"queue-{token_hex(4)}")
    ids: list[str] = field(default_factory=list)
    told: list[Evidence] = field(default_factory=list)
    gate: Callable[[], object] = lambda: None

    def fill(self, count: int, **policy: Any) -> None:
        orders = [NewResource(value=0) for _ in range(count)]
        self.ids = [order.guid for order in orders]

        def work(tx: Any) -> None:
            queues.create(tx, NewQueue(self.name, **{"max_attempts": 1000, **policy}))
            create.create(tx, self.name, orders)

        self.scene.run(work)

    def new_run(self) -> Initiator:
        guid = new_guid()
        row = {
            "tenant_id": 1,
            "job_id": 1,
            "job_guid": guid,
            "robot_id": 1,
            "attempt": 1,
            "fence": 1,
            "uses_resources": True,
        }

        def work(tx: Any) -> int:
            row["consumed_at"] = tx.now
            return int(tx.connection.execute(insert(Run), row).inserted_primary_key[0])

        return Initiator(run_id=self.scene.run(work), job_guid=guid)

    def end_run(self, who: Initiator) -> None:
        def work(tx: Any) -> None:
            tx.execute(update(Run).where(Run.id == who.run_id).values(ended_at=tx.now))
            recovery.run_ended(tx, who.run_id or 0)

        self.scene.run(work)

    def settled(self, work: Callable[[Any], Any]) -> Any:
        """As the edge does it; None where it is refused."""
        for _ in range(400):
            try:
                return self.scene.run(work)
            except Outrun:
                continue
            except BotswainError:
                return None
        raise AssertionError("400 times outrun")

    def take(self, who: Initiator, is_dated: bool) -> Any:
        def work(tx: Any) -> Any:
            until = tx.now + LOCK if is_dated else None
            taken = lifecycle.take(
                tx, self.name, ANY, who, MODES["both"], until, lambda ids: (self.gate(), ids[0])[1]
            )
            return (taken,)

        return self.settled(work)[0]

    def robot(self, seed: int, end: float) -> None:
        random, who = Random(seed), self.new_run()
        while time.monotonic() < end:
            taken = self.take(who, is_dated := random.random() < 0.6)
            if taken is None:
                if self.is_done():
                    return
                time.sleep(0.05)
                continue
            resource, fence = taken.row["public_id"], taken.fence
            self.note("take", resource, who, fence)
            if random.random() < 0.1:  # killed in mid-item
                self.end_run(who)
                who = self.new_run()
                continue
            if is_dated and random.random() < 0.35:  # paused for longer than its lock
                time.sleep(LOCK.total_seconds() * random.uniform(1, 3))
            value = {"value": seed}
            if self.settled(lambda tx: lifecycle.change(tx, resource, who, value, fence)):  # noqa: B023
                self.note("change", resource, who, fence)
            if self.settled(lambda tx: lifecycle.finish(tx, resource, who, fence=fence)):  # noqa: B023
                self.note("finish", resource, who, fence)

    def note(self, what: str, resource: str, who: Initiator, fence: int) -> None:
        self.told.append(Evidence(what, resource, who.job_guid, fence))

    def is_done(self) -> bool:
        counts = self.scene.run(lambda tx: seen.queue_view(tx, queues.existing(tx, self.name)).counts)
        return bool(counts["Processed"] == len(self.ids))

    def histories(self) -> Histories:
        def work(tx: Any) -> Histories:
            found = {one: seen.history(tx, lifecycle.existing(tx, one).id, 100_000).items for one in self.ids}
            return {
                one: [{**vars(entry), "at": entry.at.isoformat()} for entry in entries]
                for one, entries in found.items()
            }

        return self.scene.run(work)

    def empty(self, seconds: float) -> list[str]:
        """Let robots work until all is done, or the time is over; what the checker says."""
        end = time.monotonic() + seconds
        race(*(lambda seed=seed: self.robot(seed, end) for seed in range(THREADS)))
        return breaches(self.histories(), self.told)


@pytest.fixture
def works(scene: Scene) -> Works:
    made = Works(scene)
    made.fill(RESOURCES)
    return made


@on("mariadb", "postgres")
def test_no_resource_is_taken_twice(works: Works) -> None:
    assert works.empty(30) == []
    assert works.is_done()
    assert {one.what for one in works.told} == {"take", "change", "finish"}


@on("mariadb", "postgres")
def test_of_many_who_lock_at_once_one_does(works: Works) -> None:
    runs = [works.new_run() for _ in range(THREADS)]
    both = MODES["both"]
    came = race(
        *(
            lambda who=who: works.settled(lambda tx: lifecycle.lock(tx, works.ids[0], who, both, None))
            for who in runs
        )
    )
    assert sum(isinstance(one, lifecycle.Taken) for one in came) == 1 and came.count(None) == THREADS - 1


@on("mariadb", "postgres")
def test_an_end_of_the_run_and_its_take_at_once_leave_no_lock(works: Works) -> None:
    for _ in range(15):
        who = works.new_run()
        race(
            lambda who=who: works.settled(lambda tx: _taken(tx, works, who)),
            lambda who=who: works.end_run(who),
        )
    assert all(entries[-1]["event"] in ("create", "run_ended") for entries in works.histories().values()), (
        "an ended run holds a lock"
    )


def _taken(tx: Any, works: Works, who: Initiator) -> Any:
    return lifecycle.take(tx, works.name, ANY, who, MODES["both"], None, lambda ids: ids[0])


# Mutants: the checker, and so the drills, see it when a guard is gone ------------------------------------


@on("mariadb")
def test_without_the_version_guard_the_checker_convicts(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unguarded(columns: tuple[str, ...]) -> Any:
        values: dict[str, Any] = {column: bindparam(f"p_{column}") for column in columns}
        mine = Resource.id == bindparam("p_where_id"), Resource.tenant_id == bindparam("p_where_tenant_id")
        return update(Resource).where(*mine).values({**values, "version": Resource.version + 1})

    monkeypatch.setattr(changes, "_guarded", unguarded)
    works.gate = lambda: time.sleep(0.02)  # all have looked before the first writes
    found = works.empty(10)
    assert any(one.startswith(("fences_grow", "no_grant_while_held")) for one in found), found[:3]


@on("mariadb")
def test_without_the_fence_check_the_checker_convicts(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "check_fence", lambda *_: None)
    found = works.empty(15)
    assert any(one.startswith("no_stale_write") for one in found), found[:3]
