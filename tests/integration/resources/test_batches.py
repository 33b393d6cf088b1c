"""Takes and finishes that share a transaction: each as if it were alone, and none of them twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import bindparam, case, insert, update

from orchestrator.batching import Batcher
from orchestrator.database import new_guid
from orchestrator.errors import BotswainError, StaleFence
from orchestrator.insights import resources as seen
from orchestrator.resources import batches, bulk, create, lifecycle, queues
from orchestrator.resources.batches import Alone, Asker, Finish, Take
from orchestrator.resources.changes import Outrun
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.lifecycle import Taken
from orchestrator.resources.locks import MODES, Initiator
from orchestrator.resources.model import Resource
from orchestrator.resources.queues import NewQueue
from orchestrator.runs.lifecycle import NoRun
from orchestrator.runs.model import Run
from orchestrator.transaction import Actor
from tests.acceptance.drills.resource_checker import Evidence, breaches
from tests.integration.conftest import on
from tests.integration.scene import Scene, race

ANY = Condition.read({})


class Line:
    """A queue with resources, and robots in runs."""

    def __init__(self, scene: Scene, count: int, **fields: Any) -> None:
        self.scene = scene
        self.queue = f"line-{new_guid()}"
        self.orders = [NewResource(value=number, **fields) for number in range(count)]
        scene.run(lambda tx: queues.create(tx, NewQueue(self.queue)))
        scene.run(lambda tx: create.create(tx, self.queue, self.orders))
        self.queue_id = scene.run(lambda tx: queues.existing(tx, self.queue).id)

    def robot(self, number: int) -> Asker:
        guid = new_guid()

        def begin(tx: Any) -> None:
            row = {"tenant_id": 1, "job_id": number, "job_guid": guid, "robot_id": 1000 + number}
            tx.execute(
                insert(Run),
                {**row, "attempt": 1, "fence": 1, "uses_resources": False, "consumed_at": tx.now},
            )

        self.scene.run(begin)
        return Asker(Actor("robot", f"robot-{number}", 1000 + number), guid)

    def take(self, asker: Asker, condition: Condition = ANY, where: str = "") -> Take:
        return Take(asker, self.queue_id, condition, where)

    def perform(self, requests: Sequence[batches.Request]) -> list[Any]:
        def propose(ids: Sequence[int], count: int) -> Sequence[int]:
            return ids[:count]

        return self.scene.run(lambda tx: batches.perform(tx, requests, propose))

    def events(self, public_id: str) -> list[str]:
        found = self.scene.run(lambda tx: seen.history(tx, lifecycle.existing(tx, public_id).id, 500))
        return [entry.event for entry in found.items]


def test_each_gets_its_own_in_order_and_the_line_ends(scene: Scene) -> None:
    line = Line(scene, 3, parameters={"region": "R1"}, tags=["a"])
    robots = [line.robot(number) for number in range(5)]
    outcomes = line.perform([line.take(robot) for robot in robots])
    assert [one.row["value"] for one in outcomes[:3]] == [0, 1, 2]
    assert [one.fence for one in outcomes[:3]] == [1, 1, 1]
    assert outcomes[3:] == [None, None]
    ends = [
        Finish(robot, one.row["public_id"], {"page": one.row["value"]}, one.fence)
        for robot, one in zip(robots, outcomes, strict=False)
        if one is not None
    ]
    ended = line.perform([*ends, line.take(robots[3])])
    assert [row["result"] for row in ended[:3]] == [{"page": 0}, {"page": 1}, {"page": 2}]
    assert ended[3] is None
    assert line.events(line.orders[0].guid) == ["create", "take", "finish"]
    stored = scene.run(lambda tx: lifecycle.existing(tx, line.orders[1].guid))
    assert (stored.status, stored.result, stored.read_run_id, stored.taken_by) == (2, {"page": 1}, None, None)


def test_what_is_read_back_is_what_was_said(scene: Scene) -> None:
    """1, 1.0 and True are equal to Python, and are not the same JSON."""
    line = Line(scene, 4)
    robots = [line.robot(number) for number in range(4)]
    taken = line.perform([line.take(robot) for robot in robots])
    results = [1, True, 1.5, {"a": [1, None]}]
    line.perform(
        [
            Finish(robot, one.row["public_id"], result)
            for robot, one, result in zip(robots, taken, results, strict=True)
        ]
    )
    read = [scene.run(lambda tx, g=order.guid: lifecycle.existing(tx, g).result) for order in line.orders]
    assert [repr(one) for one in read] == [repr(one) for one in results]


def test_a_condition_and_its_index_entry_follow(scene: Scene) -> None:
    line = Line(scene, 2, parameters={"region": "R1"})
    where = Condition.read({"parameters.region": "R1"})
    robots = [line.robot(number) for number in range(3)]
    both = line.perform([line.take(robot, where, "R1") for robot in robots[:2]])
    assert [one.row["value"] for one in both] == [0, 1]
    assert line.perform([line.take(robots[2], where, "R1")]) == [None]


def test_one_that_is_refused_leaves_the_others_alone(scene: Scene) -> None:
    line = Line(scene, 3)
    robots = [line.robot(number) for number in range(3)]
    taken = line.perform([line.take(robot) for robot in robots])
    nobody = Asker(Actor("robot", "idle", 99_999), None)
    ids = [one.row["public_id"] for one in taken]
    outcomes = line.perform(
        [
            Finish(robots[0], ids[0], fence=7),
            Finish(robots[1], ids[1], {"ok": 1}),
            Finish(robots[0], ids[2]),
            line.take(nobody),
            Finish(robots[2], new_guid()),
        ]
    )
    assert isinstance(outcomes[0], StaleFence)
    assert outcomes[1]["status"] == 2
    assert isinstance(outcomes[2], Alone) and isinstance(outcomes[4], Alone)
    assert isinstance(outcomes[3], NoRun)
    assert line.events(ids[0]) == ["create", "take"]


def test_what_one_has_locked_itself_is_not_decided_in_company(scene: Scene) -> None:
    line = Line(scene, 1)
    robot = line.robot(1)
    run = scene.run(lambda tx: batches._initiators(tx, [line.take(robot)]))[0]
    assert isinstance(run, Initiator)
    scene.run(lambda tx: lifecycle.lock(tx, line.orders[0].guid, run, MODES["read"], None))
    assert isinstance(line.perform([line.take(robot)])[0], Alone)


@on("mariadb", "postgres")  # SQLite has one writer at a time
def test_a_batch_that_was_outrun_changes_nothing(scene: Scene) -> None:
    line = Line(scene, 2)
    robots = [line.robot(number) for number in range(2)]

    def meddle(ids: Sequence[int], count: int) -> Sequence[int]:
        scene.run(lambda tx: tx.execute(update(Resource).values(version=Resource.version + 1)))
        return ids[:count]

    outcomes = scene.run(lambda tx: batches.perform(tx, [line.take(robot) for robot in robots], meddle))
    assert all(isinstance(one, Outrun) for one in outcomes)
    assert line.events(line.orders[0].guid) == ["create"]


class Crowd:
    """Robots that empty a line in batches; two batchers stand for two processes. Redis is away."""

    def __init__(self, line: Line, robots: int) -> None:
        self.line = line
        self.robots = [line.robot(number) for number in range(robots)]
        self.told: list[Evidence] = []
        self.gate: Callable[[], None] = lambda: None
        self.batchers: list[Batcher[Any, Any]] = [Batcher(self.perform) for _ in range(2)]

    def perform(self, requests: Sequence[batches.Request]) -> list[Any]:
        def propose(ids: Sequence[int], count: int) -> Sequence[int]:
            self.gate()
            return ids[:count]

        return self.line.scene.run(lambda tx: batches.perform(tx, requests, propose))

    def ask(self, number: int, request: batches.Request) -> Any:
        for _ in range(2000):
            try:
                return self.batchers[number % 2].submit("", request)
            except Outrun:
                continue
            except (Alone, BotswainError):
                return None
        raise AssertionError("2000 times outrun")

    def work(self, number: int) -> None:
        asker = self.robots[number]
        guid = asker.job_guid or ""
        while isinstance(taken := self.ask(number, self.line.take(asker)), Taken):
            resource = taken.row["public_id"]
            self.told.append(Evidence("take", resource, guid, taken.fence))
            if self.ask(number, Finish(asker, resource, number, taken.fence)):
                self.told.append(Evidence("finish", resource, guid, taken.fence))

    def empty(self) -> list[str]:
        race(*(lambda number=number: self.work(number) for number in range(len(self.robots))))

        def histories(tx: Any) -> dict[str, list[dict[str, Any]]]:
            found = {
                one.guid: seen.history(tx, lifecycle.existing(tx, one.guid).id, 500).items
                for one in self.line.orders
            }
            return {
                guid: [{**vars(entry), "at": entry.at.isoformat()} for entry in entries]
                for guid, entries in found.items()
            }

        return breaches(self.line.scene.run(histories), self.told)


@on("mariadb", "postgres")
def test_two_crowds_at_one_line_never_meet(scene: Scene) -> None:
    crowd = Crowd(Line(scene, 60), 12)
    assert crowd.empty() == []
    finished = [one.resource for one in crowd.told if one.what == "finish"]
    assert len(finished) == len(set(finished)) == 60


@on("mariadb")
def test_without_the_version_guard_the_checker_convicts_a_batch(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unguarded(equal: tuple[str, ...], differing: tuple[str, ...], size: int) -> Any:
        def chosen(column: str) -> Any:
            kind = Resource.__table__.columns[column].type
            return case(
                *[
                    (Resource.id == bindparam(f"p_id_{n}"), bindparam(f"p_{column}_{n}", type_=kind))
                    for n in range(size)
                ]
            )

        values: dict[str, Any] = {column: bindparam(f"p_{column}") for column in equal}
        values |= {column: chosen(column) for column in differing}
        mine = Resource.id.in_(bindparam("p_where_ids", expanding=True))
        statement = update(Resource).where(mine, Resource.tenant_id == bindparam("p_where_tenant_id"))
        return statement.values({**values, "version": Resource.version + 1})

    monkeypatch.setattr(bulk, "_statement", unguarded)
    crowd = Crowd(Line(scene, 40), 12)
    both = threading.Barrier(2)

    def meet() -> None:
        """Until the other batch has looked, too, if there is one."""
        try:
            both.wait(0.3)
        except threading.BrokenBarrierError:
            both.reset()

    crowd.gate = meet
    found = crowd.empty()
    assert any(one.startswith(("fences_grow", "no_grant_while_held")) for one in found), found[:3]
