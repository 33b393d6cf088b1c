"""What time brings to resources: the sweep, at moments that the tests choose."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.errors import Conflict
from orchestrator.resources import history, lifecycle, recovery
from orchestrator.resources.changes import ResourcesFreed
from orchestrator.resources.model import ErrorKind, ResourceStatus
from tests.integration.resources.test_resource_races import Works
from tests.integration.scene import Scene


def sweep(scene: Scene, minutes: float) -> dict[str, int]:
    def work(tx: Any) -> dict[str, int]:
        return recovery.sweep(replace(tx, now=tx.now + timedelta(minutes=minutes)))

    return scene.run(work)


def filled(scene: Scene, count: int, **policy: Any) -> Works:
    works = Works(scene)
    works.fill(count, **policy)
    return works


def look(scene: Scene, resource: str) -> Any:
    return scene.run(lambda tx: lifecycle.existing(tx, resource))


def test_what_nobody_takes_is_given_up_in_time(scene: Scene) -> None:
    works = filled(scene, 2, abandon_new_minutes=10)
    who = works.new_run()
    taken = works.take(who, is_dated=False).row["public_id"]
    assert sweep(scene, 9.9) == {}
    assert sweep(scene, 10.1) == {"abandoned": 1}
    left = next(one for one in works.ids if one != taken)
    row = look(scene, left)
    assert (row.status, row.error_kind) == (ResourceStatus.ERROR, ErrorKind.ABANDONED) and row.error
    assert look(scene, taken).status == ResourceStatus.IN_PROGRESS
    assert sweep(scene, 10.1) == {}


def test_work_without_progress_is_given_up_and_its_run_comes_too_late(scene: Scene) -> None:
    works = filled(scene, 1, abandon_in_progress_minutes=10)
    who = works.new_run()
    taken = works.take(who, is_dated=False)
    resource = taken.row["public_id"]
    assert sweep(scene, 9.9) == {} and sweep(scene, 10.1) == {"abandoned": 1}
    row = look(scene, resource)
    assert (row.status, row.read_run_id, row.write_run_id, row.taken_by) == (3, None, None, None)
    with pytest.raises(Conflict, match="Error already"):
        scene.run(lambda tx: lifecycle.finish(tx, resource, who, fence=taken.fence))


def test_a_change_by_its_run_is_progress(scene: Scene) -> None:
    works = filled(scene, 1, abandon_in_progress_minutes=10)
    who = works.new_run()
    resource = works.take(who, is_dated=False).row["public_id"]

    def later(tx: Any) -> Any:
        moved = replace(tx, now=tx.now + timedelta(minutes=8))
        return lifecycle.change(moved, resource, who, {"value": "half"})

    scene.run(later)
    assert sweep(scene, 17) == {} and sweep(scene, 18.1) == {"abandoned": 1}


def test_one_that_cannot_be_given_up_keeps_no_other_from_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had been written for it is undone, and nobody is told of it."""
    works = filled(scene, 3, abandon_new_minutes=10)
    told: list[int] = []
    monkeypatch.setitem(scene.transactions._subscribers, ResourcesFreed, [told.extend])
    write = history.write

    def some(tx: Any, lines: Any) -> None:
        write(tx, lines)
        if lines[0]["resource_id"] == poison.id:
            tx.announce(ResourcesFreed(1, (poison.id,)))
            raise ValueError("its history cannot be written")

    poison = look(scene, works.ids[0])
    monkeypatch.setattr(history, "write", some)
    assert sweep(scene, 10.1) == {"abandoned": 2, "not_done": 1}
    assert look(scene, works.ids[0]) == poison
    assert poison.id not in {number for fact in told for number in fact.resource_ids}  # type: ignore[attr-defined]
    assert len(told) == 2
