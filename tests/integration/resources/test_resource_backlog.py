"""How much of a queue can be taken: what counts, what does not, and where a long count goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orchestrator.resources import backlog, create, lifecycle, queues
from orchestrator.resources.backlog import Count
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.queues import NewQueue
from tests.integration.scene import Scene

ANYTHING = Condition()
ALICE = Initiator(person="alice")


class Line:
    """A queue of resources in a scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.scene.run(lambda tx: queues.create(tx, NewQueue("orders")))
        self.id = int(self.scene.run(lambda tx: queues.existing(tx, "orders")).id)

    def add(self, count: int = 1, **fields: Any) -> list[str]:
        orders = [NewResource(value={"n": n}, **fields) for n in range(count)]
        return self.scene.run(lambda tx: create.create(tx, "orders", orders))

    def count(self, limit: int = 100, where: Any = None, begun: Count | None = None) -> Count:
        condition = Condition.read(where) if where else ANYTHING
        return self.scene.run(lambda tx: backlog.count(tx, self.id, condition, limit, begun))


@pytest.fixture
def line(scene: Scene) -> Line:
    return Line(scene)


def test_what_can_be_taken_counts_and_nothing_else(scene: Scene, line: Line) -> None:
    assert line.count() == Count(is_whole=True)
    taken, locked, dated, put_off, done, *_ = line.add(8)
    in_an_hour = scene.past(-3600)

    def work(tx: Any) -> None:
        for one, change in ((taken, "InProgress"), (put_off, None), (done, "Processed")):
            status = {"InProgress": 1, "Processed": 2}.get(change or "")
            wanted = {"status": status} if status else {"postpone_until": in_an_hour}
            lifecycle.change(tx, one, ALICE, wanted)
        lifecycle.lock(tx, locked, ALICE, (Mode.READ,), None)
        lifecycle.lock(tx, dated, ALICE, (Mode.READ,), tx.now + timedelta(seconds=60))

    scene.run(work)
    assert (line.count().found, line.count(2).found) == (3, 2)
    with_condition = {"value.n": {"gte": 0}}
    assert (line.count(where=with_condition).found, line.count(2, with_condition).found) == (3, 2)
    scene.run(lambda tx: lifecycle.unlock(tx, locked, ALICE, (Mode.READ,)))
    assert line.count().found == line.count(where=with_condition).found == 4


def test_another_tenants_queue_holds_nothing(scene: Scene, line: Line) -> None:
    line.add(3)
    found = scene.run(lambda tx: backlog.count(tx, line.id, ANYTHING, 9), tenant_id=2)
    assert found.found == 0


def test_a_condition_is_found_by_its_term_or_by_reading(line: Line) -> None:
    line.add(3, parameters={"region": "ES"}, tags=["urgent"])
    line.add(4, parameters={"region": "PT"})
    assert line.count(where={"parameters.region": "ES"}).found == 3
    assert line.count(where={"tags": "urgent", "value.n": {"lt": 2}}).found == 2
    assert line.count(where={"parameters.region": {"ne": "ES"}}).found == 4
    assert line.count(where={"parameters.region": "FR"}).found == 0


def test_the_oldest_waits_since_its_creation_or_since_it_was_due(scene: Scene, line: Line) -> None:
    before = scene.past(0)
    line.add()
    oldest = line.count().oldest
    assert oldest is not None and abs((oldest - before).total_seconds()) < 5
    assert line.count(where={"value.n": 0}).oldest == oldest
    line.add(2)
    assert line.count().oldest == oldest


def test_a_long_count_goes_on_where_it_stopped(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "ROWS_IN_ONE_LOOK", 1000)
    line.add(1000, priority=1)
    line.add(600)
    even = {"any": [{"value.n": 599}, {"value.n": 599, "priority": 0}]}
    first = line.count(where=even)
    assert not first.is_whole and first.found == 1
    second = line.count(where=even, begun=first)
    assert second.is_whole and second.found == 2
    assert line.count(1, where=even).is_whole, "what is enough ends the count"
