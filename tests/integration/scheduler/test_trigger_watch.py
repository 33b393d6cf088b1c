"""The watch over triggers: woken by what it is told, and finding in SQL what it was not told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.jobs.model import Job
from orchestrator.jobs.states import Status
from orchestrator.resources import backlog, create, queues
from orchestrator.resources.create import NewResource
from orchestrator.resources.queues import NewQueue
from orchestrator.triggers import by_queue, lifecycle
from orchestrator.triggers.lifecycle import NewTrigger
from orchestrator.triggers.model import Trigger
from orchestrator.triggers.wake_ups import FIRINGS, Listener
from scheduler import trigger_watch
from scheduler.trigger_watch import TriggerWatch
from tests.deadlines import within
from tests.integration.conftest import on
from tests.integration.scene import PERSON, Scene
from tests.integration.scheduler.conftest import MakeMember

pytestmark = on("sqlite")
PATIENCE = 30.0


@pytest.fixture
def watch(scene: Scene, member: MakeMember) -> Iterator[TriggerWatch]:
    joined = member(1, size=1, join=False)
    made = TriggerWatch(joined._parts, joined, lambda: True, threading.Event())
    yield made
    made._stop_asked.set()
    if made.ident is not None:
        made.join(10)


def trigger(
    scene: Scene, kind: str, settings: dict[str, Any], process: str = "invoices", name: str = ""
) -> None:
    new = NewTrigger(name or kind, kind, process, settings)
    scene.run(lambda tx: lifecycle.create(tx, new), actor=PERSON)


def fill(scene: Scene, count: int = 1) -> None:
    orders = [NewResource(value=n) for n in range(count)]
    scene.run(lambda tx: create.create(tx, "orders", orders))


def jobs(scene: Scene) -> int:
    return len(scene.run(lambda tx: tx.execute(select(Job.id)).all()))


def until(fact: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def queue(scene: Scene) -> None:
    scene.run(lambda tx: queues.create(tx, NewQueue("orders")))


@pytest.mark.usefixtures("queue")
def test_what_nobody_told_is_found_at_the_next_look_at_all(scene: Scene, watch: TriggerWatch) -> None:
    trigger(scene, "queue", {"queue": "orders"})
    fill(scene)
    watch.look(set())
    assert jobs(scene) == 1


@pytest.mark.usefixtures("queue")
def test_between_two_looks_at_all_only_what_it_is_told_of_is_looked_at(
    scene: Scene, watch: TriggerWatch
) -> None:
    trigger(scene, "queue", {"queue": "orders", "max_jobs": 9})
    watch.look(set())
    (rule,) = watch._rules
    watch._all_at = time.monotonic() + 3600
    fill(scene)
    watch.look({"queue:99", FIRINGS})
    assert jobs(scene) == 0
    watch.look({rule.trigger.watches})
    assert jobs(scene) == 1


@pytest.mark.usefixtures("queue")
def test_it_is_woken_by_what_other_processes_commit(
    scene: Scene, watch: TriggerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an hour between looks at all: a resource, a job's end that makes room, a job's end that fires."""
    monkeypatch.setattr(trigger_watch, "EVERY_SECONDS", 3600.0)
    scene.publish("following")
    scene.process = "invoices"
    trigger(scene, "queue", {"queue": "orders", "max_jobs": 1})
    trigger(scene, "job_end", {"process": "invoices"}, process="following")
    watch.start()
    until(lambda: watch._listener._channel is not None and bool(watch._rules))
    parts = watch._parts
    scene.transactions = parts.transactions  # which tell Redis of what they commit
    fill(scene, 2)
    until(lambda: jobs(scene) == 1)
    robot = scene.robot("r1")
    scene.dispatch()
    guid = scene.consume(robot).job.guid
    scene.report(robot, guid, Status.IN_PROGRESS)
    scene.report(robot, guid, Status.SUCCESS)
    until(lambda: jobs(scene) == 3)


@pytest.mark.usefixtures("queue")
def test_who_is_not_master_does_not_look(scene: Scene, watch: TriggerWatch) -> None:
    trigger(scene, "queue", {"queue": "orders"})
    fill(scene)
    asked = threading.Event()

    def is_master() -> bool:
        asked.set()
        return False

    watch._is_master = is_master
    watch.start()
    assert asked.wait(PATIENCE)
    assert jobs(scene) == 0


@pytest.mark.usefixtures("queue")
def test_a_count_that_needs_several_looks_is_gone_on_with(
    scene: Scene, watch: TriggerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "ROWS_IN_ONE_LOOK", backlog.CHUNK)
    trigger(scene, "queue", {"queue": "orders", "where": {"value.n": 1}})
    orders = [NewResource(value={"n": 0}) for _ in range(backlog.CHUNK)] + [NewResource(value={"n": 1})]
    scene.run(lambda tx: create.create(tx, "orders", orders))
    watch.look(set())
    assert jobs(scene) == 0 and watch._begun
    assert watch._wait() == set(), "and it does not wait to go on"
    watch.look(set())
    assert jobs(scene) == 1 and not watch._begun


@pytest.mark.usefixtures("queue")
def test_a_trigger_that_cannot_be_looked_at_holds_up_no_other(
    scene: Scene, watch: TriggerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    trigger(scene, "queue", {"queue": "orders", "max_jobs": 2}, name="first")
    trigger(scene, "queue", {"queue": "orders"}, name="unreadable")
    trigger(scene, "queue", {"queue": "orders"}, name="third")
    unreadable = update(Trigger).where(Trigger.name == "unreadable").values(settings={"colour": 1})
    scene.run(lambda tx: tx.execute(unreadable))
    look = by_queue.look

    def failing(tx: Any, rule: Any, begun: Any) -> Any:
        if rule.trigger.name == "first":
            raise ValueError("a mistake of ours")
        return look(tx, rule, begun)

    monkeypatch.setattr(by_queue, "look", failing)
    fill(scene)
    watch.look(set())
    assert jobs(scene) == 1


def test_redis_that_is_away_is_no_reason_to_stop_looking(watch: TriggerWatch) -> None:
    watch._listener = Listener("redis://127.0.0.1:1/0")
    watch._all_at = time.monotonic() + 0.2
    with within(10):
        assert watch._wait() == set()
