"""A due time makes its jobs once; missed ones and overlapping ones go as the policies say."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import exc, insert, update

from orchestrator.calendars import lifecycle as calendars
from orchestrator.calendars.lifecycle import NewCalendar
from orchestrator.robots import lifecycle as robots
from orchestrator.transaction import Transaction
from orchestrator.triggers import firing, lifecycle, schedule
from orchestrator.triggers.model import Firing
from tests.integration.conftest import on
from tests.integration.scene import Scene, race
from tests.integration.triggers.conftest import Triggers

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_a_due_time_makes_the_job_that_the_trigger_asks_for(scene: Scene, triggers: Triggers) -> None:
    scene.robot("r1", group="office")
    triggers.create(group="office", arguments={"day": 1}, priority=7, max_attempts=3, on_lost="requeue")
    assert not triggers.tick()
    due = triggers.fell_due(timedelta(seconds=5))
    assert triggers.tick() == {"fired": 1}
    (firing,) = triggers.firings()
    assert (firing.due_at, firing.state, firing.reason) == (due, "fired", None)
    job = scene.job(*firing.jobs)
    assert (job.arguments, job.priority, job.max_attempts, job.on_lost) == ({"day": 1}, 7, 3, "requeue")
    assert job.target.startswith("group:")
    assert job.created_by == "trigger:nightly"
    after = triggers.now()
    assert after.next_due == due + HOUR
    assert after.last_fired_at == firing.fired_at
    assert not triggers.tick()


@pytest.mark.parametrize(
    ("policy", "fired", "stand_for", "missed"),
    [("skip", 0, [], 5), ("once", 1, [5], 0), ("all", 3, [1, 1, 1], 2)],
)
def test_missed_due_times_go_by_policy(
    triggers: Triggers, policy: str, fired: int, stand_for: list[int], missed: int
) -> None:
    triggers.create(on_missed=policy, missed_limit=3)
    due = triggers.fell_due(4 * HOUR + 30 * MINUTE)
    counts = triggers.tick()
    assert (counts["fired"], counts["missed"]) == (fired, missed)
    firings = triggers.firings()
    assert [one.due_count for one in firings if one.state == "fired"] == stand_for
    assert [(one.reason, one.due_count) for one in firings if one.state == "skipped"] == (
        [("missed", missed)] if missed else []
    )
    assert sum(one.due_count for one in firings) == 5
    assert triggers.now().next_due == due + 5 * HOUR


def test_two_masters_that_race_for_a_due_time_fire_it_once(scene: Scene, triggers: Triggers) -> None:
    for number in range(3):
        triggers.create(f"t{number}", on_missed="all")
        triggers.fell_due(2 * HOUR, f"t{number}")

    def master() -> Counter[str]:
        counts: Counter[str] = Counter()
        for trigger_id in scene.run(schedule.due):
            counts += scene.run(partial(schedule.fire_due, trigger_id=trigger_id))
        return counts

    outcomes = race(master, master, master, master)
    assert not [one for one in outcomes if isinstance(one, Exception)]
    assert sum(one["fired"] for one in outcomes) == 9
    for number in range(3):
        firings = triggers.firings(f"t{number}")
        assert len({one.due_at for one in firings}) == len(firings) == 3
        assert len({guid for one in firings for guid in one.jobs}) == 3


def test_the_same_event_told_twice_at_once_fires_once(scene: Scene, triggers: Triggers) -> None:
    trigger = triggers.create(on_overlap="skip")

    def told(tx: Transaction) -> Any:
        locked = firing.lock(tx, trigger.id)
        return firing.fire(tx, locked, "event 7", tx.now)

    outcomes = race(*[lambda: scene.run(told)] * 4)
    assert sorted(map(str, outcomes)) == ["None", "None", "None", "fired"]
    assert len(triggers.firings()) == 1


@on("sqlite")
def test_the_index_refuses_a_second_firing_of_one_due_time(scene: Scene, triggers: Triggers) -> None:
    trigger = triggers.create()
    row = {"tenant_id": 1, "trigger_id": trigger.id, "due_key": "k", "due_at": trigger.created_at}
    row |= {"state": "fired", "is_open": False, "due_count": 1, "job_count": 1, "jobs": []}
    row |= {"created_at": trigger.created_at}
    scene.run(lambda tx: tx.execute(insert(Firing), row))
    with pytest.raises(exc.IntegrityError):
        scene.run(lambda tx: tx.execute(insert(Firing), row))


class _KilledError(Exception):
    pass


def test_a_master_that_dies_in_the_middle_leaves_all_of_it_to_the_next(
    scene: Scene, triggers: Triggers
) -> None:
    triggers.create()
    due = triggers.fell_due(timedelta(seconds=5))
    (trigger_id,) = scene.run(schedule.due)

    def dies(tx: Transaction) -> None:
        assert schedule.fire_due(tx, trigger_id) == {"fired": 1}
        raise _KilledError

    with pytest.raises(_KilledError):
        scene.run(dies)
    assert triggers.firings() == [] and triggers.now().next_due == due
    assert triggers.tick() == {"fired": 1}
    assert not triggers.tick()


def test_an_overlapping_firing_is_skipped_where_the_policy_says_so(scene: Scene, triggers: Triggers) -> None:
    triggers.create(on_overlap="skip")
    triggers.fell_due(timedelta(seconds=5))
    assert triggers.tick() == {"fired": 1}
    triggers.fell_due(timedelta(seconds=4))
    assert triggers.tick() == {"skipped": 1}
    first, second = triggers.firings()
    assert (second.reason, second.jobs) == ("overlap", [])
    scene.stop(*first.jobs)
    triggers.fell_due(timedelta(seconds=3))
    assert triggers.tick() == {"fired": 1}
    assert [one.is_open for one in triggers.firings()] == [False, False, True]


def test_an_overlapping_firing_waits_its_turn_where_the_policy_says_so(
    scene: Scene, triggers: Triggers
) -> None:
    triggers.create(on_overlap="queue", on_missed="all")
    triggers.fell_due(2 * HOUR + MINUTE)
    assert triggers.tick() == {"fired": 1, "waiting": 2}
    for number in range(3):
        assert not triggers.tick()
        firings = triggers.firings()
        states = [one.state for one in firings]
        assert states == ["fired"] * (number + 1) + ["waiting"] * (2 - number)
        scene.stop(*firings[number].jobs)
        assert triggers.tick() == ({"fired": 1} if number < 2 else {})
    assert len({one.due_at for one in triggers.firings()}) == 3


@on("sqlite")
def test_who_begins_to_mind_overlaps_minds_the_jobs_of_before(scene: Scene, triggers: Triggers) -> None:
    triggers.create(on_overlap="allow")
    triggers.fell_due(timedelta(seconds=5))
    triggers.tick()
    triggers.change(on_overlap="skip")
    triggers.fell_due(timedelta(seconds=4))
    assert triggers.tick() == {"skipped": 1}


@on("sqlite")
def test_an_order_that_cannot_be_met_is_a_failed_firing_and_the_next_is_tried(
    scene: Scene, triggers: Triggers
) -> None:
    scene.robot("r1")
    triggers.create(robot="r1")
    scene.run(lambda tx: robots.delete(tx, "r1", lambda _: False))
    due = triggers.fell_due(timedelta(seconds=5))
    assert triggers.tick() == {"failed": 1}
    (failed,) = triggers.firings()
    assert (failed.state, failed.jobs) == ("failed", []) and "deleted" in failed.detail
    assert triggers.now().next_due == due + HOUR


@on("sqlite")
def test_disabled_triggers_do_not_fire_and_what_waits_is_given_up(scene: Scene, triggers: Triggers) -> None:
    triggers.create(on_overlap="queue", on_missed="all")
    triggers.fell_due(HOUR + MINUTE)
    assert triggers.tick() == {"fired": 1, "waiting": 1}
    scene.run(lambda tx: lifecycle.disable(tx, "nightly"))
    scene.stop(*triggers.firings()[0].jobs)
    assert not triggers.tick()
    assert [(one.state, one.reason) for one in triggers.firings()][1:] == [("skipped", "disabled")]
    scene.run(lambda tx: lifecycle.enable(tx, "nightly"))
    assert triggers.now().next_due > scene.past(0)


@on("sqlite")
def test_a_day_off_that_was_entered_after_the_due_time_was_set_is_kept(
    scene: Scene, triggers: Triggers
) -> None:
    scene.run(lambda tx: calendars.create(tx, NewCalendar("office", weekdays=range(1, 8))))
    triggers.create(calendar="office", settings={"seconds": 60})
    due = triggers.now().next_due
    changes = {"days_off": {due.date().isoformat(): "closed"}}

    def close(tx: Transaction) -> None:
        calendars.change(tx, "office", lambda number: lifecycle.calendar_changed(tx, number), **changes)

    scene.run(close)
    assert triggers.now().next_due.date() == due.date() + timedelta(days=1)
    triggers.set_due(due - timedelta(seconds=90))
    assert not triggers.tick()
    trigger = triggers.now()
    scene.run(lambda tx: firing.fire(tx, firing.lock(tx, trigger.id), "event", due))
    assert [(one.state, one.reason, one.detail) for one in triggers.firings()] == [
        ("skipped", "day_off", "closed")
    ]


@on("sqlite")
def test_firings_are_forgotten_after_ninety_days(scene: Scene, triggers: Triggers) -> None:
    triggers.create()
    triggers.fell_due(timedelta(seconds=5))
    triggers.tick()
    assert scene.run(lambda tx: schedule.forget(tx, 10)) == 0
    old = scene.past(schedule.KEPT.total_seconds() + 60)
    scene.run(lambda tx: tx.execute(update(Firing).values(created_at=old)))
    assert scene.run(lambda tx: schedule.forget(tx, 10)) == 1
