"""What a worker node finds around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from workers.surroundings import Surroundings, ahead_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "answered", "ahead"),
    [
        (-0.01, 0.02, 0.0),  # the moment of noon lies between the two: nothing is known to be wrong
        (-8.0, 0.5, 0.0),  # as it does in a slow answer
        (90.0, 90.2, 90.0),
        (90.0, 99.0, 90.0),  # by so much at least
        (-61.0, -60.0, -60.0),
    ],
)
def test_a_clock_is_wrong_by_what_the_answers_way_does_not_explain(
    asked: float, answered: float, ahead: float
) -> None:
    found = ahead_of(NOON, NOON + timedelta(seconds=asked), NOON + timedelta(seconds=answered))
    assert found == ahead


def test_the_room_is_that_of_the_nodes_folder(tmp_path: Path) -> None:
    here = Surroundings(tmp_path)
    assert here.free_bytes is None
    here.look()
    assert here.free_bytes is not None and here.free_bytes > 0


def test_of_a_disk_that_cannot_be_looked_at_nothing_is_said(tmp_path: Path) -> None:
    gone = Surroundings(tmp_path / "unmounted")
    gone.free_bytes = 4711
    gone.look()
    assert gone.free_bytes is None
