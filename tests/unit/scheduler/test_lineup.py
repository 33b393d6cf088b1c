"""Which line is served next."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from orchestrator.tasks.heads import Head
from orchestrator.tasks.model import RANK_SHIFT, Lane
from scheduler.lineup import Line, Lineup

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
S, W = Lane.SCHEDULER, Lane.WORKER


def head(partition: int, age: int, rank: int = 100, lane: Lane = S) -> Head:
    return Head(partition, lane, rank * RANK_SHIFT + 1, BEGIN - timedelta(seconds=age))


def lineup(*heads: Head) -> Lineup:
    made = Lineup()
    made.set_heads(heads)
    return made


def served(line_up: Lineup, owned: range = range(64)) -> list[Line]:
    order = []
    while (line := line_up.take(owned, 0)) is not None:
        order.append(line)
        line_up.put_back(line, None)
    return order


def test_the_line_whose_oldest_has_waited_longest_comes_first() -> None:
    assert served(lineup(head(1, 5), head(2, 9), head(3, 7))) == [(2, S), (3, S), (1, S)]


def test_a_higher_priority_comes_before_age() -> None:
    assert served(lineup(head(1, 500), head(2, 1, rank=10))) == [(2, S), (1, S)]


def test_lines_of_others_are_left_alone() -> None:
    line_up = lineup(head(1, 5), head(2, 9))
    line_up.hint([3])
    assert served(line_up, range(2)) == [(1, S)]


def test_a_busy_line_is_served_by_one_thread_at_a_time() -> None:
    line_up = lineup(head(1, 5))
    line = line_up.take([1], 0)
    assert line == (1, S)
    line_up.set_heads([head(1, 5)])
    assert line_up.take([1], 0) is None
    line_up.put_back(line, BEGIN)
    assert line_up.take([1], 0) == (1, S)


def test_a_hint_of_a_busy_line_is_not_forgotten() -> None:
    line_up = lineup(head(1, 5))
    line = line_up.take([1], 0)
    assert line is not None
    line_up.hint([1])
    assert line_up.take([1], 0) == (1, W)
    line_up.put_back(line, None)
    assert line_up.take([1], 0) == (1, S)


def test_what_stands_behind_a_batch_waits_by_its_own_age() -> None:
    line_up = lineup(head(1, 9), head(2, 5))
    line = line_up.take([1, 2], 0)
    assert line == (1, S)
    line_up.put_back(line, BEGIN)  # its next one is younger than partition 2's
    assert served(line_up, range(1, 3)) == [(2, S), (1, S)]


def test_of_hints_the_handing_out_of_jobs_comes_first() -> None:
    line_up = Lineup()
    line_up.hint([4])
    assert served(line_up) == [(4, S), (4, W)]


def test_a_hint_wakes_who_waits() -> None:
    line_up = Lineup()
    found: list[Line | None] = []
    waiter = threading.Thread(target=lambda: found.append(line_up.take(range(64), 20)))
    waiter.start()
    line_up.hint([7])
    waiter.join(10)
    assert found == [(7, S)]


def test_waking_ends_the_wait_with_nothing() -> None:
    line_up = Lineup()
    line_up.wake()
    assert line_up.take(range(64), 20) is None
