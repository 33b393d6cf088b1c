"""When duties are due, and how often what became of them is written."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.duty_book import DutyBook
from scheduler.maintenance import Duty

DUTY = Duty("sweep", 1.0, lambda term: {})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Writes:
    """Stands for a term: counts the transactions."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, work: Any) -> None:
        self.count += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(clock: Clock) -> DutyBook:
    return DutyBook(clock)


def do(book: DutyBook, result: dict[str, int] | Exception, term: Any) -> None:
    book.begin(DUTY)
    if isinstance(result, Exception):
        book.fail(DUTY, result)
    else:
        book.end(DUTY, result)
    book.write(term)


def test_a_quiet_minute_is_written_four_times_and_a_busy_one_thirty(clock: Clock, book: DutyBook) -> None:
    for counts, most in (({}, 4), ({"moved": 1}, 30)):
        term = Writes()
        for _ in range(60):
            clock.now += 1
            do(book, counts, term)
        assert most - 1 <= term.count <= most


def test_a_failure_and_its_end_are_written_at_once(clock: Clock, book: DutyBook) -> None:
    term = Writes()
    do(book, {}, term)
    results: tuple[dict[str, int] | Exception, ...] = ({}, ValueError("no"), {})
    for result in results:
        clock.now += 0.1
        do(book, result, term)
    assert term.count == 3, "the first of all, the failure and its end"


def test_one_that_fails_is_tried_less_and_less_often_but_each_minute(clock: Clock, book: DutyBook) -> None:
    pauses = []
    for _ in range(8):
        book.begin(DUTY)
        book.fail(DUTY, ValueError("no"))
        began = clock.now
        while not book.is_due(DUTY):
            clock.now += 0.5
        pauses.append(clock.now - began)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]
    do(book, {}, Writes())
    clock.now += 1
    assert book.is_due(DUTY)
