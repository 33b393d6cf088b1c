"""The master and its duties: one at a time, fenced by its term, judging silence by what robots said."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.cluster import duties as cluster_duties
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.cluster.model import Lease
from orchestrator.errors import Unavailable
from orchestrator.jobs import recovery, stalls
from orchestrator.jobs.states import Status
from orchestrator.processes import lifecycle as processes
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.presence import Familiar, Presence
from scheduler.duty_book import DutyBook
from scheduler.maintenance import Duty, beats, lines, lost_runs, orders, stalled_runs, time_limits
from scheduler.master import Master
from scheduler.membership import Membership
from scheduler.term import Term, TermOver
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember

pytestmark = on("sqlite")


def master(member: Membership) -> Master:
    return Master(member._parts, member, threading.Event())


def lapse(scene: Scene) -> None:
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Lease).values(lease_until=past)))


@pytest.fixture
def term(member: MakeMember) -> Term:
    held = master(member(1, size=1, join=False))._hold()
    assert held is not None
    return held


def beat(presence: Presence, robot: Any, guid: str = "") -> int:
    """A steady beat of a robot that SQL has admitted."""
    familiar = Familiar(robot.id, "auth", ("any:1",))
    status = 3 if guid else 2
    presence.admit(familiar, "", status, guid, bool(guid), 0, False)
    return presence.beat(presence.pack_beat(familiar, "", str(status), guid))


def test_one_is_master_and_another_only_when_its_term_has_ended(scene: Scene, member: MakeMember) -> None:
    first, second = master(member(1)), master(member(2))
    term = first._hold()
    assert term is not None
    assert second._hold() is None
    lapse(scene)
    following = second._hold()
    assert following is not None
    assert following.epoch == term.epoch + 1
    with pytest.raises(TermOver):
        term.run(lambda tx: pytest.fail("a master of yesterday acted"))
    assert following.run(lambda tx: "acted") == "acted"


def test_who_may_not_be_master_never_is(scene: Scene, member: MakeMember) -> None:
    never = master(member(1, SCHEDULER_MASTER="0"))
    never.tick()
    assert never._term is None
    draining = member(2)
    draining.is_draining = True
    other = master(draining)
    other.tick()
    assert other._term is None


def test_a_master_that_ends_gives_its_term_up_at_once(scene: Scene, member: MakeMember) -> None:
    first, second = master(member(1)), master(member(2))
    assert first._hold() is not None
    first._leave()
    assert second._hold() is not None


def test_beats_are_carried_and_renew_the_lease_of_the_run(scene: Scene, term: Term) -> None:
    robot = scene.robot("r1")
    guid = scene.in_progress(robot)
    scene.set_job(guid, lease_until=scene.past(20))
    assert beat(term.parts.presence, robot, guid) == 0
    beats.run(term)
    seen = scene.robot_now("r1")
    assert seen.status == 3
    assert (scene.past(0) - seen.last_seen).total_seconds() < 5
    assert scene.job(guid).lease_until > scene.past(-30)
    assert lost_runs.run(term) == {}


def test_a_round_carries_all_beats_that_wait_up_to_a_bound(
    term: Term, monkeypatch: pytest.MonkeyPatch
) -> None:
    presence = term.parts.presence
    monkeypatch.setattr(beats, "PORTION", 10)
    monkeypatch.setattr(beats, "PORTIONS", 5)

    def of_robots(count: int) -> None:
        for number in range(1, count + 1):
            beat(presence, SimpleNamespace(id=number))

    of_robots(31)
    beats.run(term)
    assert presence.waiting_beats() == 0
    of_robots(61)
    beats.run(term)
    assert presence.waiting_beats() == 11


def test_robots_that_fell_silent_are_disconnected(scene: Scene, term: Term) -> None:
    robot = scene.robot("r1")
    beat(term.parts.presence, robot)
    beats.run(term)
    assert beats.run(term) == {}
    from orchestrator.robots.model import Robot

    past = scene.past(60)
    scene.run(lambda tx: tx.execute(update(Robot).values(last_seen=past)))
    assert beats.run(term) == {"disconnected": 1}
    assert scene.robot_now("r1").status == 0
    assert beats.run(term) == {}


def test_a_silent_run_is_lost_but_not_one_that_redis_hears_of(scene: Scene, term: Term) -> None:
    silent, heard, taker = scene.robot("silent"), scene.robot("heard"), scene.robot("taker")
    lost, alive = scene.in_progress(silent), scene.in_progress(heard)
    (never_begun,) = scene.pending(robot="taker")
    scene.consume(taker)
    for guid in (lost, alive, never_begun):
        scene.set_job(guid, lease_until=scene.past())
    beat(term.parts.presence, heard, alive)
    assert lost_runs.run(term) == {"lost": 1, "released": 1}
    assert scene.job(lost).status == Status.FAILED
    assert scene.job(lost).reason == "robot_lost"
    assert scene.job(alive).status == Status.IN_PROGRESS
    assert scene.job(alive).lease_until > scene.past(0)
    assert (scene.job(never_begun).status, scene.job(never_begun).robot_id) == (Status.PENDING, 0)
    assert lost_runs.run(term) == {}


def test_a_run_that_cannot_be_ended_keeps_no_other_from_it(
    scene: Scene, term: Term, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each of the three duties that end runs."""
    scene.run(lambda tx: processes.change(tx, scene.process, stalled_after_seconds=60))
    guids = [scene.in_progress(scene.robot(f"r{number}"), max_run_seconds=60) for number in range(3)]
    steps = ((recovery, "lose"), (recovery, "time_out"), (stalls, "judge"))
    for module, name in steps:
        monkeypatch.setattr(module, name, all_but(guids[0], getattr(module, name)))
    past = scene.past()
    for guid in guids:
        scene.set_job(guid, stalls_at=past, run_until=past, lease_until=past)
    assert stalled_runs.run(term) == {"stalled": 2, "not_done": 1}
    assert time_limits.run(term) == {"timed_out": 2, "not_done": 1}
    assert lost_runs.run(term) == {"lost": 2, "not_done": 1}


def all_but(guid: str, verb: Any) -> Any:
    def chosen(tx: Any, job: Any, *more: Any) -> Any:
        if job.guid == guid:
            raise ValueError("its history cannot be written")
        return verb(tx, job, *more)

    return chosen


def test_overdue_runs_are_told_to_abort_and_then_given_up(scene: Scene, term: Term) -> None:
    guid = scene.in_progress(scene.robot("r1"), max_run_seconds=60)
    assert time_limits.run(term) == {}
    for status in (Status.ABORTING, Status.FAILED):
        scene.set_job(guid, run_until=scene.past())
        assert time_limits.run(term) == {"timed_out": 1}
        assert scene.job(guid).status == status


def test_marks_of_lines_are_held_against_sql(scene: Scene, term: Term) -> None:
    robot = scene.robot("r1")
    scene.pending(2)
    scene.pending(robot="r1")
    presence = term.parts.presence
    presence.mark_lines(["group:9"])
    assert lines.run(term) == {"marked": 2, "cleared": 1}
    assert set(presence.marked_lines()) == {"any:1", f"robot:{robot.id}"}
    assert lines.run(term) == {}


def test_orders_that_were_never_told_are_repeated(scene: Scene, term: Term) -> None:
    stopping, aborting = scene.robot("s"), scene.robot("a")
    soft, hard = scene.in_progress(stopping), scene.in_progress(aborting)
    scene.stop(soft)
    scene.abort(hard)
    presence = term.parts.presence
    beat(presence, stopping, soft)
    beat(presence, aborting, hard)
    orders.run(term)
    told = [
        presence.beat(presence.pack_beat(Familiar(robot.id, "auth", ()), "", "3", guid))
        for robot, guid in ((stopping, soft), (aborting, hard))
    ]
    assert told == [40, 20]


def test_an_idle_robot_whose_run_sql_knows_is_asked(scene: Scene, term: Term) -> None:
    """Presence was lost or wrong: the next Ready must reach SQL, where the run is lost."""
    robot = scene.robot("r1")
    scene.in_progress(robot)
    presence = term.parts.presence
    assert beat(presence, robot) == 0
    beats.run(term)
    familiar = Familiar(robot.id, "auth", ("any:1",))
    assert presence.beat(presence.pack_beat(familiar, "", "2", "")) == -1


def test_a_deleted_robot_is_no_trouble(scene: Scene, term: Term) -> None:
    robot = scene.robot("r1")
    beat(term.parts.presence, robot)
    scene.run(lambda tx: robots.delete(tx, "r1", lambda _: False))
    assert beats.run(term) == {}


# The round of duties ------------------------------------------------------------------------------------


def only(monkeypatch: pytest.MonkeyPatch, *duties: Duty) -> None:
    monkeypatch.setattr("scheduler.master.DUTIES", duties)


def recorded(scene: Scene) -> dict[str, Any]:
    return {row.name: row for row in scene.run(cluster_duties.recorded)}


def test_a_duty_that_fails_keeps_none_from_being_done_and_says_so(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways: list[Any] = [RuntimeError("the disk is full"), {"moved": 3}]

    def turn(_: Term) -> dict[str, int]:
        if isinstance(way := ways.pop(0), Exception):
            raise way
        return dict(way)

    later: list[int] = []

    def after(_: Term) -> dict[str, int]:
        later.append(1)
        return {}

    only(monkeypatch, Duty("first", 0.0, turn), Duty("second", 0.0, after))
    chosen = master(member(1))
    chosen.tick()
    failed = recorded(scene)["first"]
    assert (failed.failures, failed.error) == (1, "RuntimeError: the disk is full")
    assert (failed.node, failed.term) == ("scheduler-1", chosen._term.epoch if chosen._term else None)
    assert later == [1]
    chosen.tick()
    mended = recorded(scene)["first"]
    assert (mended.failures, mended.error, mended.counts) == (0, None, {"moved": 3})
    assert mended.started_at > failed.started_at
    assert mended.ended_at >= mended.started_at


def test_a_duty_that_the_database_does_not_answer_keeps_none_from_being_done(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its statement takes longer than is waited for, say; the database answers all others."""

    def unanswered(_: Term) -> dict[str, int]:
        raise Unavailable("The database does not answer; try again shortly.")

    done: list[int] = []

    def after(_: Term) -> dict[str, int]:
        done.append(1)
        return {}

    only(monkeypatch, Duty("first", 0.0, unanswered), Duty("second", 0.0, after))
    chosen = master(member(1))
    chosen.tick()
    term = chosen._term
    assert term is not None
    chosen.tick()
    assert done == [1, 1]
    assert chosen._term is term, "the term goes on"
    failed = recorded(scene)["first"]
    assert (failed.failures, failed.error) == (1, "The database does not answer; try again shortly.")


def test_a_master_steps_down_when_the_database_does_not_answer_at_all(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = member(1)

    def away(_: Term) -> dict[str, int]:
        monkeypatch.setattr(me, "run", unanswered)
        raise Unavailable

    def unanswered(*_: Any, **__: Any) -> None:
        raise Unavailable

    only(monkeypatch, Duty("first", 0.0, away))
    chosen = master(me)
    with pytest.raises(Unavailable):
        chosen.tick()


def test_a_long_duty_tells_how_far_it_is_and_keeps_its_term(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("scheduler.term.time.monotonic", lambda: clock[0])
    seen: list[Any] = []

    def move(term: Term) -> dict[str, int]:
        for done in (10, 20):
            clock[0] += 41  # more than a third of the lease
            lease_ends(scene, 3)  # it would end before the next batch
            term.run(lambda tx: None)
            term.progress(done, 20)
            seen.append((lease_end(scene), recorded(scene)["move"]))
        return {"moved": 20}

    only(monkeypatch, Duty("move", 60.0, move))
    chosen = master(member(1))
    chosen._book = DutyBook(lambda: clock[0])
    chosen.tick()
    assert [(row.done, row.total, row.ended_at) for _, row in seen] == [(10, 20, None), (20, 20, None)]
    assert all(until > scene.past(-10) for until, _ in seen), "each transaction renews when a third has gone"


def lease_end(scene: Scene) -> Any:
    return scene.run(lambda tx: tx.execute(select(Lease.lease_until).where(Lease.name == MASTER)).scalar())


def lease_ends(scene: Scene, seconds: float) -> None:
    soon = scene.past(-seconds)
    mine = update(Lease).where(Lease.name == MASTER)
    scene.run(lambda tx: tx.execute(mine.values(lease_until=soon)))


def test_a_long_duty_is_ended_between_two_transactions_and_its_term_is_free(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    stop = threading.Event()

    def endless(term: Term) -> dict[str, int]:
        while True:
            term.run(lambda tx: done.append(1))
            stop.set()

    only(monkeypatch, Duty("endless", 1.0, endless))
    first = member(1)
    Master(first._parts, first, stop).tick()
    assert done == [1]
    assert master(member(2))._hold() is not None


# Precedence ---------------------------------------------------------------------------------------------


def test_an_auto_master_yields_to_a_designated_one_and_takes_over_when_it_is_gone(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, Duty("idle", 60.0, lambda term: {}))
    auto = member(1)
    first = master(auto)
    taken = first._hold()
    assert taken is not None
    designated = member(2, SCHEDULER_MASTER="1")
    second = master(designated)
    assert second._hold() is None, "a term is not taken away"
    auto.tick()
    with pytest.raises(TermOver):
        taken.run(lambda tx: pytest.fail("a duty went on although another is to be master"))
    first.tick()
    following = second._hold()
    assert following is not None
    assert following.epoch == taken.epoch + 1
    second._leave()
    first.tick()
    assert first._term is None, "a free term is left to the designated one, while it lives"
    designated.leave()
    auto.tick()
    first.tick()
    assert first._term is not None
    assert first._term.epoch == following.epoch + 1
