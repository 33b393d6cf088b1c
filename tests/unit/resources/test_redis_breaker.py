"""A Redis that does not answer is left alone for a second, and then tried by one at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from redis import ResponseError
from redis import TimeoutError as RedisTimeout

from orchestrator.resources.breaker import PAUSE_SECONDS, Breaker, Skipped


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broken(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    with pytest.raises(RedisTimeout):
        breaker.call(raising(RedisTimeout()))
    return breaker


def raising(error: Exception) -> Callable[[], int]:
    def ask() -> int:
        raise error

    return ask


def test_calls_go_through_while_it_answers(clock: Clock) -> None:
    breaker = Breaker(clock)
    assert [breaker.call(lambda: number) for number in range(3)] == [0, 1, 2]  # noqa: B023
    with pytest.raises(ResponseError):
        breaker.call(raising(ResponseError("no")))  # an answer, too
    assert breaker.call(lambda: 3) == 3


def test_after_one_timeout_nobody_asks_for_a_while(broken: Breaker, clock: Clock) -> None:
    clock.now += PAUSE_SECONDS * 0.99
    with pytest.raises(Skipped):
        broken.call(lambda: pytest.fail("it was asked"))


def test_when_the_pause_is_over_one_asks_and_the_others_go_on_without(broken: Breaker, clock: Clock) -> None:
    clock.now += PAUSE_SECONDS

    def ask() -> str:
        with pytest.raises(Skipped):
            broken.call(lambda: pytest.fail("a second one was asked"))
        return "answered"

    assert broken.call(ask) == "answered"
    assert broken.call(lambda: 1) == 1  # it answers again: for everybody


def test_one_that_tries_in_vain_begins_another_pause(broken: Breaker, clock: Clock) -> None:
    clock.now += PAUSE_SECONDS
    with pytest.raises(RedisTimeout):
        broken.call(raising(RedisTimeout()))
    with pytest.raises(Skipped):
        broken.call(lambda: 1)
    clock.now += PAUSE_SECONDS
    assert broken.call(lambda: 1) == 1
