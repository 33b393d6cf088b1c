"""The rules of locks on rows that no database has seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.errors import StaleFence
from orchestrator.resources.locks import Initiator, Mode, check_fence, freeing, granting, held, hindrance, own

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON, PAST = NOW + timedelta(microseconds=1), NOW
RUN, OTHER, PERSON = Initiator(run_id=1), Initiator(run_id=2), Initiator(person="alice")
NOBODY_S = Initiator(run_id=0)  # a robot without a run


def row(**locks: Any) -> Any:
    free: dict[str, Any] = {"fence": 7}
    for mode in Mode:
        free |= {f"{mode}_run_id": None, f"{mode}_person": None, f"{mode}_until": None, f"{mode}_fence": 0}
    return SimpleNamespace(**free | locks)


READ = row(read_run_id=1, read_fence=5)


def test_a_lock_hinders_others_only() -> None:
    assert hindrance(READ, (Mode.READ,), RUN, NOW) is None
    assert hindrance(READ, (Mode.READ,), PERSON, NOW) is None
    for other in (OTHER, NOBODY_S):
        lock = hindrance(READ, (Mode.WRITE, Mode.READ), other, NOW)
        assert lock is not None and (lock.mode, lock.run_id, lock.fence) == (Mode.READ, 1, 5)
        assert hindrance(READ, (Mode.WRITE,), other, NOW) is None


def test_a_person_s_lock_hinders_robots_and_no_person() -> None:
    locked = row(write_person="bob")
    assert hindrance(locked, (Mode.WRITE,), RUN, NOW) is not None
    assert hindrance(locked, (Mode.WRITE,), PERSON, NOW) is None


@pytest.mark.parametrize(("until", "is_there"), [(None, True), (SOON, True), (PAST, False)])
def test_a_dated_lock_is_over_at_its_moment(until: datetime | None, is_there: bool) -> None:
    assert (held(row(read_run_id=1, read_until=until), Mode.READ, NOW) is not None) == is_there


def test_a_grant_counts_up_and_names_its_holder_and_nothing_of_the_other_lock() -> None:
    fence, values = granting(READ, (Mode.WRITE,), PERSON, SOON)
    assert fence == 8
    assert values == {
        "fence": 8,
        "write_run_id": None,
        "write_person": "alice",
        "write_until": SOON,
        "write_fence": 8,
    }
    assert "fence" not in freeing(Mode)


@pytest.mark.parametrize(
    ("fence", "who", "is_stale"),
    [
        (None, OTHER, False),
        (7, OTHER, False),
        (5, RUN, False),
        (5, OTHER, True),
        (6, RUN, True),
        (8, RUN, True),
    ],
)
def test_a_fence_counts_for_its_holder_and_as_the_latest(
    fence: int | None, who: Initiator, is_stale: bool
) -> None:
    if is_stale:
        with pytest.raises(StaleFence, match="fence 7"):
            check_fence(READ, fence, who, NOW)
    else:
        check_fence(READ, fence, who, NOW)


def test_own_locks_are_those_that_still_hold() -> None:
    assert own(READ, RUN, NOW) == (Mode.READ,) and own(READ, OTHER, NOW) == ()
    assert own(row(read_run_id=1, read_until=PAST, write_run_id=1), RUN, NOW) == (Mode.WRITE,)
