"""Triggers by queue: how many jobs when, and once whoever looks."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.errors import Invalid
from orchestrator.jobs.states import Status
from orchestrator.resources import create, lifecycle, queues, recovery
from orchestrator.resources.backlog import Count
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import Resource
from orchestrator.resources.queues import NewQueue
from orchestrator.runs import lifecycle as runs
from orchestrator.triggers import by_queue
from orchestrator.triggers.model import Firing, Trigger
from tests.integration.conftest import on
from tests.integration.scene import Scene, race
from tests.integration.triggers.conftest import Triggers

ALICE = Initiator(person="alice")
NAME = "nightly"


class Orders:
    """A queue that a trigger watches, and robots that work at what it creates."""

    def __init__(self, scene: Scene, triggers: Triggers) -> None:
        self.scene, self.triggers = scene, triggers
        scene.run(lambda tx: queues.create(tx, NewQueue("orders")))
        self.robots: list[Any] = []

    def trigger(self, **settings: Any) -> Any:
        return self.triggers.create(kind="queue", settings={"queue": "orders", **settings})

    def add(self, count: int = 1, **fields: Any) -> list[str]:
        orders = [NewResource(value={"n": n}, **fields) for n in range(count)]
        return self.scene.run(lambda tx: create.create(tx, "orders", orders))

    def look(self) -> int:
        """What the watch does for each rule, once: how many jobs were created."""
        made = 0
        for rule in self.scene.run(by_queue.rules):
            look = self.scene.run(lambda tx, rule=rule: by_queue.look(tx, rule))
            made += self.fire(rule.trigger.id, look.count) if look.wanted else 0
        return made

    def fire(self, trigger_id: int, count: Count | None = None) -> int:
        return self.scene.run(lambda tx: by_queue.fire(tx, trigger_id, count or Count()))

    def begin(self, take: bool = True) -> tuple[Any, str, str]:
        """A robot begins the next job and, unless told not to, takes a resource: (robot, job, resource)."""
        self.scene.dispatch()
        robot = self.scene.robot(f"r{len(self.robots)}")
        self.robots.append(robot)
        guid = self.scene.consume(robot).job.guid
        self.scene.report(robot, guid, Status.IN_PROGRESS)

        def work(tx: Any) -> str:
            run = runs.of_robot(tx, robot.id, guid)
            who = Initiator(run_id=run.id, job_guid=guid)
            empty = Condition()
            taken = lifecycle.take(tx, "orders", empty, who, (Mode.READ,), None, lambda ids: ids[0])
            assert taken is not None
            return str(taken.row["public_id"])

        return robot, guid, self.scene.run(work) if take else ""

    def end(self, robot: Any, guid: str, status: Status = Status.SUCCESS) -> None:
        self.scene.report(robot, guid, status)

    def pass_time(self, seconds: float) -> None:
        """Let what is in the queue, and the trigger's latest firing, be older."""
        back = timedelta(seconds=seconds)
        fired = self.triggers.now().last_fired_at

        def work(tx: Any) -> None:
            for row in tx.execute(select(Resource.id, Resource.created_at)).all():
                mine = update(Resource).where(Resource.id == row.id)
                tx.execute(mine.values(created_at=row.created_at - back))
            if fired is not None:
                tx.execute(update(Trigger).values(last_fired_at=fired - back))

        self.scene.run(work)


@pytest.fixture
def orders(scene: Scene, triggers: Triggers) -> Orders:
    return Orders(scene, triggers)


def test_a_job_is_created_when_enough_can_be_taken(orders: Orders) -> None:
    orders.trigger(min_resources=3)
    assert orders.look() == 0
    orders.add(2)
    assert orders.look() == 0
    orders.add(1)
    assert (orders.look(), orders.look()) == (1, 0)
    (firing,) = orders.triggers.firings()
    job = orders.scene.job(firing.jobs[0])
    assert (firing.state, firing.job_count, job.created_by) == ("fired", 1, "trigger:nightly")


def test_a_job_for_each_so_many_and_no_more_at_once_than_allowed(orders: Orders) -> None:
    orders.trigger(min_resources=10, max_jobs=3)
    orders.add(25)
    assert (orders.look(), orders.look()) == (2, 0)
    orders.add(50)
    assert (orders.look(), orders.look()) == (1, 0)


def test_a_job_that_has_not_taken_yet_stands_for_what_it_will_take(orders: Orders) -> None:
    orders.trigger(max_jobs=5)
    orders.add(2)
    assert orders.look() == 2
    orders.begin(take=False)
    assert orders.look() == 0, "both are still about to take one each"
    orders.begin()
    assert orders.look() == 0, "one waits, and one job is about to take it"
    orders.add(1)
    assert orders.look() == 1


def test_a_job_that_ends_makes_room(orders: Orders) -> None:
    orders.trigger(max_jobs=1)
    orders.add(2)
    assert orders.look() == 1
    robot, guid, resource = orders.begin()
    assert orders.look() == 0
    who = runs_initiator(orders.scene, robot, guid)
    orders.scene.run(lambda tx: lifecycle.finish(tx, resource, who, result=1))
    orders.end(robot, guid)
    assert (orders.look(), orders.look()) == (1, 0)
    first, second = orders.triggers.firings()
    assert (first.is_open, second.is_open) == (False, True)


def runs_initiator(scene: Scene, robot: Any, guid: str) -> Initiator:
    run = scene.run(lambda tx: runs.of_robot(tx, robot.id, guid))
    return Initiator(run_id=run.id, job_guid=guid)


def test_every_way_in_which_one_comes_free_is_seen(orders: Orders) -> None:
    """Put off and due; done and, by a person, New again; locked and unlocked; taken and given back."""
    orders.trigger(max_jobs=100)
    scene = orders.scene
    (put_off,) = orders.add(postpone_until=scene.past(-3600))
    done, locked = orders.add(2)
    scene.run(lambda tx: lifecycle.change(tx, done, ALICE, {"status": 2}))
    scene.run(lambda tx: lifecycle.lock(tx, locked, ALICE, (Mode.READ,), None))
    assert orders.look() == 0

    def due(tx: Any) -> None:
        mine = update(Resource).where(Resource.public_id == put_off)
        tx.execute(mine.values(postpone_until=tx.now - timedelta(seconds=1)))

    scene.run(due)
    scene.run(recovery.sweep)
    assert orders.look() == 1
    scene.run(lambda tx: lifecycle.change(tx, done, ALICE, {"status": 0}))
    assert orders.look() == 1
    scene.run(lambda tx: lifecycle.unlock(tx, locked, ALICE, (Mode.READ,)))
    assert orders.look() == 1
    assert orders.look() == 0
    robot, guid, _ = orders.begin()
    orders.begin()
    orders.begin()
    assert orders.look() == 0
    orders.end(robot, guid, Status.FAILED)
    assert orders.look() == 1, "what the failed run had is New again"


def test_fewer_are_enough_once_the_oldest_has_waited_too_long(orders: Orders) -> None:
    orders.trigger(min_resources=5, max_age_seconds=60, max_jobs=2)
    orders.add(1)
    orders.pass_time(59)
    assert orders.look() == 0
    orders.pass_time(2)
    assert (orders.look(), orders.look()) == (1, 0)
    robot, guid, _ = orders.begin(take=False)
    orders.end(robot, guid)
    assert orders.look() == 0, "a job has just looked at it and left it there"
    orders.pass_time(61)
    assert orders.look() == 1


def test_only_what_fits_the_condition_counts(orders: Orders) -> None:
    orders.trigger(where={"parameters.region": "ES", "value.n": {"gt": 0}})
    orders.add(5, parameters={"region": "PT"})
    orders.add(1, parameters={"region": "ES"})
    assert orders.look() == 0
    orders.add(2, parameters={"region": "ES"})
    assert (orders.look(), orders.look()) == (1, 0)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"queue": "none"}, "settings.queue"),
        ({"queue": "orders", "where": {"status": "New"}}, "settings.where"),
        ({"queue": "orders", "where": {"sum": 1}}, "settings.where.sum"),
        ({"queue": "orders", "min_resources": 0}, "settings.min_resources"),
        ({"queue": "orders", "max_jobs": 0}, "settings.max_jobs"),
        ({"queue": "orders", "colour": 0}, "settings.colour"),
        ({}, "settings.queue"),
    ],
)
@on("sqlite")
def test_settings_that_cannot_be_are_refused(orders: Orders, settings: Any, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        orders.triggers.create(kind="queue", settings=settings)
    assert [error.field for error in refused.value.errors] == [field]


@on("mariadb", "postgres")
def test_two_masters_that_look_at_once_create_one_firing(orders: Orders) -> None:
    trigger = orders.trigger(max_jobs=3)
    orders.add(3)

    def fire(tx: Any) -> int:
        return by_queue.fire(tx, trigger.id, Count(found=3, is_whole=True))

    assert orders.scene.one_after_the_other(fire, fire) == (3, 0, "waited")
    assert [firing.job_count for firing in orders.triggers.firings()] == [3]


@on("mariadb", "postgres")
def test_never_more_jobs_than_allowed_while_many_come_and_go(orders: Orders) -> None:
    """A trigger of at most 2, looked at by two at once while resources come in and jobs end."""
    trigger = orders.trigger(max_jobs=2)
    scene, stop = orders.scene, threading.Event()
    seen: list[int] = []

    def living(tx: Any) -> int:
        (rule,) = by_queue.rules(tx)
        return by_queue.crew_of(tx, rule).size

    def watching() -> None:
        while not stop.is_set():
            orders.look()
            seen.append(scene.run(living))

    def working() -> None:
        try:
            for _ in range(6):
                orders.add(1)
                orders.look()
                robot, guid, _ = orders.begin()
                orders.end(robot, guid)
        finally:
            stop.set()

    assert race(watching, watching, working) == [None, None, None]
    assert 1 <= max(seen) <= 2
    keys = [firing.due_key for firing in orders.triggers.firings()]
    assert len(keys) == len(set(keys)) and trigger.id


def test_jobs_that_only_fail_do_not_follow_each_other_without_end(orders: Orders) -> None:
    orders.trigger()
    orders.add(1)
    for _ in range(by_queue.FAILURES_AT_ONCE):
        assert orders.look() == 1
        robot, guid, _ = orders.begin(take=False)
        orders.end(robot, guid, Status.FAILED)
    assert orders.look() == 0, "the pause has begun"
    ended = {"finished_at": orders.scene.past(6)}
    for firing in orders.triggers.firings():
        orders.scene.set_job(firing.jobs[0], **ended)
    assert orders.look() == 1, "and is over"


def test_an_order_that_cannot_be_met_is_not_tried_at_each_look(orders: Orders, scene: Scene) -> None:
    orders.trigger()
    scene.run(lambda tx: tx.execute(update(Trigger).values(version=99)))
    orders.add(1)
    for _ in range(5):
        assert orders.look() == 0
    firings = orders.triggers.firings()
    assert [firing.state for firing in firings] == ["failed"] * by_queue.FAILURES_AT_ONCE
    scene.run(lambda tx: tx.execute(update(Trigger).values(version=None)))
    scene.run(lambda tx: tx.execute(update(Firing).values(created_at=tx.now - timedelta(seconds=6))))
    assert orders.look() == 1


@on("sqlite")
def test_a_disabled_trigger_and_one_of_another_queue_do_nothing(orders: Orders, scene: Scene) -> None:
    trigger = orders.trigger()
    orders.add(1)
    orders.triggers.create("other", kind="queue", settings={"queue": "orders"}, enabled=False)
    scene.run(lambda tx: tx.execute(update(Trigger).values(is_enabled=False)))
    assert orders.look() == 0
    assert orders.fire(trigger.id) == 0, "not even where somebody had looked before"
