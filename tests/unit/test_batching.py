"""Group commit: who is alone does not wait, who comes together is done together, and each gets its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from orchestrator import batching
from orchestrator.batching import Batcher


class Gate:
    """A `perform` that is held at its first batch until it is let go, and notes all batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = threading.Event()
        self.go = threading.Event()

    def __call__(self, requests: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(requests))
        self.began.set()
        assert self.go.wait(10)
        return [ValueError(str(one)) if one < 0 else one * 10 for one in requests]


def submit_all(batcher: Batcher[int, int], requests: Sequence[int], key: str = "") -> dict[int, object]:
    """Threads that submit, each started; the returned dictionary fills as they are answered."""
    outcomes: dict[int, object] = {}

    def submit(request: int) -> None:
        try:
            outcomes[request] = batcher.submit(key, request)
        except Exception as error:
            outcomes[request] = error

    threads = [threading.Thread(target=submit, args=(request,), daemon=True) for request in requests]
    for thread in threads:
        thread.start()
    outcomes["threads"] = threads  # type: ignore[index]
    return outcomes


def waiting(batcher: Batcher[int, int], key: str, count: int) -> None:
    deadline = threading.Event()
    for _ in range(1000):
        if len(batcher._waiting[key]) == count:
            return
        deadline.wait(0.005)
    raise AssertionError(f"{len(batcher._waiting[key])} wait, not {count}")


def ended(outcomes: dict[int, object]) -> dict[int, object]:
    for thread in outcomes.pop("threads"):  # type: ignore[call-overload]
        thread.join(10)
        assert not thread.is_alive()
    return outcomes


def test_one_who_is_alone_is_done_at_once() -> None:
    gate = Gate()
    gate.go.set()
    assert Batcher(gate).submit("", 1) == 10
    assert gate.batches == [[1]]


def test_those_who_come_meanwhile_are_done_together_and_in_order() -> None:
    gate = Gate()
    batcher = Batcher(gate)
    first = submit_all(batcher, [1])
    assert gate.began.wait(10)
    rest: dict[int, dict[int, object]] = {}
    for count, request in enumerate((2, 3, 4), start=1):
        rest |= {request: submit_all(batcher, [request])}
        waiting(batcher, "", count)
    gate.go.set()
    assert ended(first) == {1: 10}
    assert [ended(one) for one in rest.values()] == [{2: 20}, {3: 30}, {4: 40}]
    assert gate.batches == [[1], [2, 3, 4]]


def test_a_refusal_is_that_of_one_alone() -> None:
    gate = Gate()
    batcher = Batcher(gate)
    first = submit_all(batcher, [1])
    assert gate.began.wait(10)
    rest = submit_all(batcher, [2, -3])
    waiting(batcher, "", 2)
    gate.go.set()
    ended(first)
    found = ended(rest)
    assert found[2] == 20 and isinstance(found[-3], ValueError)


def test_a_batch_that_fails_fails_all_of_it_and_nobody_waits_for_ever() -> None:
    def broken(requests: Sequence[int]) -> list[int]:
        raise RuntimeError("no")

    outcomes = ended(submit_all(Batcher(broken), range(8)))
    assert all(isinstance(one, RuntimeError) for one in outcomes.values()) and len(outcomes) == 8


def test_keys_do_not_wait_for_each_other() -> None:
    gate = Gate()
    batcher = Batcher(gate)
    held = submit_all(batcher, [1], "a")
    assert gate.began.wait(10)
    gate.began.clear()
    other = submit_all(batcher, [2], "b")
    assert gate.began.wait(10)
    gate.go.set()
    assert ended(held) | ended(other) == {1: 10, 2: 20}


def test_a_batch_has_a_limit() -> None:
    gate = Gate()
    batcher = Batcher(gate, limit=2)
    first = submit_all(batcher, [1])
    assert gate.began.wait(10)
    rest = submit_all(batcher, [2, 3, 4, 5, 6])
    waiting(batcher, "", 5)
    gate.go.set()
    ended(first), ended(rest)
    assert [len(batch) for batch in gate.batches] == [1, 2, 2, 1]


@pytest.mark.parametrize("threads", [16])
def test_nothing_is_lost_or_doubled_in_a_rush(threads: int) -> None:
    done: list[int] = []

    def perform(requests: Sequence[int]) -> list[int]:
        done.extend(requests)
        return [one * 10 for one in requests]

    batcher: Batcher[int, int] = Batcher(perform)

    def rush(number: int) -> None:
        for one in range(50):
            request = number * 1000 + one
            assert batcher.submit("", request) == request * 10

    runners = [threading.Thread(target=rush, args=(number,)) for number in range(threads)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join(20)
    assert len(done) == len(set(done)) == threads * 50


@pytest.mark.parametrize(("took", "patience"), [(0.0, 0.003), (0.02, 0.01), (10.0, 0.025)])
def test_the_longer_a_batch_took_the_longer_its_company_is_awaited_within_bounds(
    monkeypatch: pytest.MonkeyPatch, took: float, patience: float
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert batching._Done.now(16, 100.0 - took).patience == pytest.approx(patience)


def test_after_a_batch_of_one_nobody_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    batcher: Batcher[int, int] = Batcher(lambda requests: list(requests))
    assert [batcher.submit("", number) for number in range(5)] == [0, 1, 2, 3, 4]
