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


def of(tenant: int, partition: int, age: int) -> Head:
    return head(partition, age)._replace(tenant_id=tenant)


def test_tenants_take_turns_and_each_has_its_own_lines_by_age() -> None:
    line_up = lineup(of(1, 1, 90), of(1, 2, 80), of(1, 3, 70), of(2, 32, 5), of(2, 33, 6), of(3, 34, 1))
    tenants = {1: "A", 2: "A", 3: "A", 32: "B", 33: "B", 34: "C"}
    order = served(line_up)
    assert [tenants[partition] for partition, _ in order] == list("ABCABA")
    assert [p for p, _ in order if tenants[p] == "A"] == [1, 2, 3]
    assert [p for p, _ in order if tenants[p] == "B"] == [33, 32]


def test_a_tenant_whose_backlog_never_ends_does_not_hold_up_a_hint_of_another() -> None:
    line_up = lineup(*[of(1, partition, 500) for partition in range(32)])
    line_up.hint([33])
    looked = []
    for _ in range(3):
        line = line_up.take(range(64), 0)
        assert line is not None
        looked.append(line)
        line_up.put_back(line, BEGIN, 1)
    assert (33, S) in looked[:2]


def test_hints_in_a_known_tenants_own_share_wait_for_what_is_known() -> None:
    line_up = lineup(of(1, 5, 500))
    line_up.hint([6])
    assert served(line_up, range(32)) == [(5, S), (6, S), (6, W)]


def test_who_stands_behind_a_batch_may_be_another_tenants() -> None:
    line_up = lineup(of(3, 34, 9), of(18, 32, 5))
    taken = [line_up.take(range(64), 0) for _ in range(2)]
    assert taken == [(34, S), (32, S)]
    line_up.put_back((34, S), BEGIN, 3)
    line_up.put_back((32, S), BEGIN, 2)  # two tenants share this pair, and this one had no turn yet
    assert line_up.take(range(64), 0) == (32, S)
