"""The master's duty over triggers: fenced by the term, and no trigger holds up the others."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.triggers import lifecycle
from orchestrator.triggers.lifecycle import NewTrigger
from orchestrator.triggers.model import Trigger
from scheduler.maintenance import DUTIES, triggers
from scheduler.term import Term, TermOver
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember


@pytest.fixture
def term(member: MakeMember) -> Term:
    me = member()
    epoch = me.run(lambda tx: cluster.acquire_lease(tx, MASTER, me.me.owner, me.lease))
    assert epoch is not None
    return Term(me, me._parts, epoch)


def due(scene: Scene, *names: str) -> None:
    """Interval triggers, due five seconds ago."""
    at = scene.past(5).replace(microsecond=0)
    for name in names:
        settings = {"seconds": 3600, "starts_at": at.isoformat()}
        new = NewTrigger(name, "interval", scene.process, settings)
        scene.run(lambda tx, new=new: lifecycle.create(tx, new))
    scene.run(lambda tx: tx.execute(update(Trigger).values(next_due=at)))


def test_the_duty_is_one_of_the_masters() -> None:
    assert triggers.run in {duty.run for duty in DUTIES}


def test_what_is_due_is_fired_in_the_term_only(scene: Scene, term: Term) -> None:
    due(scene, "one", "two")
    stale = Term(term.membership, term.parts, term.epoch - 1)
    with pytest.raises(TermOver):
        triggers.run(stale)
    assert triggers.run(term) == {"fired": 2}
    assert triggers.run(term) == {}


@on("sqlite")
@pytest.mark.parametrize("mistake", [{"time_zone": "No/Where"}, {"calendar_id": 999}])
def test_a_trigger_that_cannot_be_fired_does_not_hold_up_the_others(
    scene: Scene, term: Term, mistake: dict[str, Any]
) -> None:
    due(scene, "a", "b")
    broken = update(Trigger).where(Trigger.name == "a").values(**mistake)
    scene.run(lambda tx: tx.execute(broken))
    assert triggers.run(term) == {"fired": 1, "not_fired": 1}


@on("sqlite")
@pytest.mark.parametrize(("offset", "zone"), [(-3600, "Asia/Tokyo"), (3600, "America/New_York")])
def test_the_clock_of_the_node_and_its_zone_are_of_no_account(
    scene: Scene, term: Term, monkeypatch: pytest.MonkeyPatch, offset: int, zone: str
) -> None:
    due(scene, "now", "later")
    in_half_an_hour = scene.past(-1800)
    scene.run(
        lambda tx: tx.execute(update(Trigger).where(Trigger.name == "later").values(next_due=in_half_an_hour))
    )
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + offset)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert triggers.run(term) == {"fired": 1}
    finally:
        monkeypatch.undo()
        time.tzset()
    found = scene.run(lambda tx: lifecycle.existing(tx, "later"))
    assert (found.last_fired_at, found.next_due) == (None, in_half_an_hour)
