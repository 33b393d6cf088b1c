"""A grant whose answer reached nobody is taken back, as if it had not been made; but its number is spent."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.resources import lifecycle, search, turns
from orchestrator.resources.locks import MODES, Initiator, Mode
from orchestrator.resources.model import ResourceStatus
from tests.integration.conftest import on
from tests.integration.resources.test_resource_races import ANY, Works
from tests.integration.scene import Scene

ALICE = Initiator(person="alice")


@pytest.fixture
def works(scene: Scene) -> Works:
    made = Works(scene)
    made.fill(2)
    return made


def take(works: Works, who: Initiator, lock: str = "read") -> Any:
    def work(tx: Any) -> Any:
        return lifecycle.take(tx, works.name, ANY, who, MODES[lock], None, lambda ids: ids[0])

    return works.scene.run(work)


def take_back(works: Works, who: Initiator, fence: int, **given: Any) -> None:
    given = {"begun": True, **given}
    works.scene.run(lambda tx: turns.take_back(tx, works.ids[0], who, fence, **given))


def row(works: Works) -> Any:
    return works.scene.run(lambda tx: search.by_public_id(tx, works.ids[0]))


def test_a_take_is_taken_back(works: Works) -> None:
    who, other = works.new_run(), works.new_run()
    first = take(works, who, "both")
    take_back(works, who, first.fence)
    left = row(works)
    assert (left.status, left.attempt, left.taken_by) == (ResourceStatus.NEW, 0, None)
    assert (left.read_run_id, left.write_run_id) == (None, None)
    second = take(works, other)
    assert (second.row["public_id"], second.row["attempt"], second.fence) == (
        works.ids[0],
        1,
        first.fence + 1,
    )
    events = [entry["event"] for entry in works.histories()[works.ids[0]]]
    assert events == ["create", "take", "undelivered", "take"]


@on("sqlite")
def test_what_has_passed_on_is_left_alone(works: Works) -> None:
    who, other = works.new_run(), works.new_run()
    first = take(works, who)
    works.end_run(who)
    second = take(works, other)
    take_back(works, who, first.fence)
    take_back(works, other, first.fence)
    left = row(works)
    assert (left.taken_by, left.read_run_id, left.fence) == (other.run_id, other.run_id, second.fence)
    works.scene.run(lambda tx: lifecycle.finish(tx, works.ids[0], other))
    take_back(works, other, second.fence)
    assert row(works).status == ResourceStatus.PROCESSED


@on("sqlite")
def test_a_persons_take_is_taken_back(works: Works) -> None:
    first = take(works, ALICE)
    take_back(works, ALICE, first.fence)
    assert (row(works).status, row(works).read_person, row(works).attempt) == (ResourceStatus.NEW, None, 0)


@on("sqlite")
def test_a_lock_that_was_held_before_stays(works: Works) -> None:
    who = works.new_run()
    take(works, who)
    locked = works.scene.run(lambda tx: lifecycle.lock(tx, works.ids[0], who, MODES["both"], None))
    take_back(works, who, locked.fence, begun=False, kept=(Mode.READ,))
    left = row(works)
    assert (left.read_run_id, left.write_run_id) == (who.run_id, None)
    assert (left.status, left.attempt, left.taken_by) == (ResourceStatus.IN_PROGRESS, 1, who.run_id)


@on("sqlite")
def test_a_deleted_resource_is_nothing_to_take_back(works: Works) -> None:
    who = works.new_run()
    first = take(works, who)
    works.scene.run(lambda tx: lifecycle.remove(tx, works.ids[0], ALICE))
    take_back(works, who, first.fence)
    assert row(works) is None
