"""The master's duty that moves what has ended: inside the window, a slice at a time, in its own term only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.jobs.model import PAST_JOBS, Job
from scheduler.maintenance import history
from scheduler.term import Term, TermOver
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember
from tests.integration.scheduler.test_master import master

NOW = {f"BOTSWAIN_MOVE_{name}_AFTER_DAYS": "0" for name in ("JOBS", "TASKS", "RESOURCES", "AUDIT")}
ALWAYS = {"BOTSWAIN_MAINTENANCE_WINDOW": "always"}


@pytest.fixture(autouse=True)
def no_pass_under_way() -> Iterator[None]:
    history._under_way.clear()
    yield
    history._under_way.clear()


@pytest.fixture
def term_of(member: MakeMember) -> Callable[..., Term]:
    def make(number: int = 1, **settings: str) -> Term:
        term = master(member(number, **NOW, **ALWAYS | settings))._hold()
        assert term is not None
        return term

    return make


def ended(scene: Scene, count: int) -> None:
    for guid in scene.create(count):
        scene.stop(guid)


def places(scene: Scene) -> tuple[int, int]:
    """How many jobs are live, and how many history."""
    counts = [select(func.count()).select_from(table) for table in (Job.__table__, PAST_JOBS)]
    return tuple(scene.run(lambda tx: [tx.execute(one).scalar_one() for one in counts]))


def test_a_pass_moves_what_has_ended_and_then_rests(scene: Scene, term_of: Any) -> None:
    ended(scene, 3)
    scene.create()
    term = term_of()
    told: list[int] = []
    term.report = lambda done, total: told.append(done)
    counts = history.run(term)
    assert counts["jobs_moved"] == 3 and counts["audit_moved"] > 0
    assert told[-1] == sum(counts.values())
    assert places(scene) == (1, 3)
    ended(scene, 1)
    assert history.run(term) == {}, "the pass has ended, and the next one is not due"
    history._under_way[0].rests_until = 0.0
    assert history.run(term)["jobs_moved"] == 1


def test_outside_the_window_nothing_moves(scene: Scene, term_of: Any) -> None:
    ended(scene, 1)
    assert history.run(term_of(BOTSWAIN_MAINTENANCE_WINDOW="never")) == {}
    assert places(scene) == (1, 0)


def test_the_end_of_the_window_stops_between_two_batches_and_the_next_night_goes_on(
    scene: Scene, term_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(scene, 6)
    term, window = term_of(), [True]
    monkeypatch.setattr("scheduler.maintenance.history._is_open", lambda _: window[0])
    monkeypatch.setattr("orchestrator.history.moving.step.__defaults__", (2,))
    monkeypatch.setattr("scheduler.maintenance.history._go_on", closing(window, batches=5))
    history.run(term)
    live, past = places(scene)
    assert live + past == 6 and live > 0
    assert history.run(term) == {} and history._under_way == []
    window[:] = [True]
    monkeypatch.undo()
    history.run(term)
    assert places(scene) == (0, 6)


def closing(window: list[bool], batches: int) -> Any:
    go_on, left = history._go_on, [batches]

    def counted(current: Any) -> bool:
        left[0] -= 1
        window[0] = left[0] > 0
        return go_on(current)

    return counted


def test_a_slice_ends_so_that_other_duties_get_their_turn(
    scene: Scene, term_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.maintenance.history.SLICE_SECONDS", 0.0)
    ended(scene, 2)
    term, runs = term_of(), 0
    counts: dict[str, int] = {}
    while not history._under_way or history._under_way[0].rests_until < 0:
        counts = history.run(term) or counts
        runs += 1
        assert runs < 100
    assert runs > 5 and counts["jobs_moved"] == 2
    assert places(scene) == (0, 2)


def test_a_term_that_is_over_moves_nothing_and_the_next_one_begins_anew(
    scene: Scene, term_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.maintenance.history.SLICE_SECONDS", 0.0)
    ended(scene, 2)
    term = term_of()
    history.run(term)
    term.is_ending = lambda: True
    with pytest.raises(TermOver):
        history.run(term)
    assert places(scene) == (2, 0) and history._under_way == []
    member = term.membership
    member.run(lambda tx: cluster.give_up_lease(tx, MASTER, member.me.owner))
    monkeypatch.undo()
    history.run(term_of(2))
    assert places(scene) == (0, 2)


def test_what_has_been_kept_for_long_enough_is_deleted(scene: Scene, term_of: Any) -> None:
    ended(scene, 2)
    term = term_of(BOTSWAIN_KEEP_JOBS_DAYS="0.0000001")
    counts = history.run(term)
    assert (counts["jobs_moved"], counts["jobs_deleted"]) == (2, 2)
    assert places(scene) == (0, 0)
