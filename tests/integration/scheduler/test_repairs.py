"""What Redis remembers wrongly is found and repaired, and what is right is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.jobs import announcements
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.presence import Known, Presence
from scheduler.maintenance import repairs
from scheduler.term import Term
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember
from tests.integration.scheduler.test_master import master


@pytest.fixture
def term(member: MakeMember) -> Term:
    held = master(member(1, join=False))._hold()
    assert held is not None
    return held


def admit(presence: Presence, robot: Any, job: str = "", paused: bool = False) -> None:
    presence.admit(announcements.familiar(robot), "here", 3 if job else 2, job, bool(job), 0, paused)


def known(robot: Any, job: str = "") -> Known:
    return Known(job, False, announcements.familiar(robot).auth)


def test_what_is_right_stays_and_what_is_wrong_is_forgotten(scene: Scene, term: Term) -> None:
    presence = term.parts.presence
    busy, idle, handed, lost, resting, gone, stale = [scene.robot(f"r{number}") for number in range(7)]
    job, other = scene.in_progress(busy), scene.in_progress(lost)
    scene.pending(robot="r2")
    scene.consume(handed)
    scene.run(lambda tx: robots.pause(tx, "r4"))
    scene.run(lambda tx: robots.delete(tx, "r5", lambda _: False))
    admit(presence, busy, job)
    admit(presence, idle)
    admit(presence, handed)
    admit(presence, lost)  # Redis has lost the word that it runs a job
    admit(presence, resting)  # and that it is paused
    admit(presence, gone)
    admit(presence, stale, other)  # a job that is another's
    right = {busy.id: known(busy, job), idle.id: known(idle), handed.id: known(handed)}
    assert repairs.run(term) == {"presence_repaired": 4}
    assert presence.known() == right
    assert repairs.run(term) == {}


def test_what_changes_between_the_looks_is_no_mistake(
    scene: Scene, term: Term, monkeypatch: pytest.MonkeyPatch
) -> None:
    presence, robot = term.parts.presence, scene.robot("r1")
    job = scene.in_progress(robot)
    admit(presence, robot)
    look = Presence.known

    def changing(self: Presence, robot_ids: Any = None) -> Any:
        found = look(self, robot_ids)
        admit(presence, robot, job)  # its beat has come in the meantime
        return found

    monkeypatch.setattr(Presence, "known", changing)
    assert repairs.run(term) == {}
    assert look(presence) == {robot.id: known(robot, job)}


def test_a_robot_known_by_an_authentication_of_before_is_forgotten(scene: Scene, term: Term) -> None:
    presence, (switched, renewed) = term.parts.presence, [scene.robot(name) for name in ("r1", "r2")]
    scene.run(lambda tx: robots.set_secret(tx, "r1", "secret", "digest of {}".format))
    admit(presence, switched)  # Redis was away when it was to be told of the secret
    admit(presence, renewed)
    assert repairs.run(term) == {"presence_repaired": 1}
    assert presence.known() == {renewed.id: known(renewed)}
    assert renewed.guid_digest not in repr(presence.known())


def test_a_proposal_that_would_never_end_is_forgotten(term: Term) -> None:
    redis = term.parts.redis
    redis.set("botswain:proposed:7", "somebody")
    redis.set("botswain:proposed:8", "somebody", px=3_600_000)
    assert term.parts.proposals.choose([9], "me") == 9
    assert repairs.run(term) == {"proposals_repaired": 2}
    assert [redis.exists(f"botswain:proposed:{number}") for number in (7, 8, 9)] == [0, 0, 1]
    assert repairs.run(term) == {}
