"""The judge of the drills passes an honest cluster and convicts every kind of broken one."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.acceptance.drills.checker import RULES, breaches
from tests.acceptance.drills.fleet import Fleet, Run

Book = dict[str, list[dict[str, Any]]]


def entry(second: float, event: str, status: int, attempt: int = 1, **more: object) -> dict[str, Any]:
    at = f"2026-01-01T00:00:{second:09.6f}+00:00"
    base = {"at": at, "event": event, "status": status, "attempt": attempt, "fence": attempt}
    return {**base, "robot": None, "partition": None, "seq": None, **more}


def life(begin: float, partition: int, seq: int, robot: str) -> list[dict[str, Any]]:
    place = {"partition": partition, "seq": seq}
    return [
        entry(0, "create", 0, **place),
        entry(begin, "dispatch", 1, **place),
        entry(begin + 1, "consume", 1, robot=robot),
        entry(begin + 2, "start", 8, robot=robot),
        entry(begin + 3, "succeed", 4, robot=robot),
    ]


def honest() -> Book:
    again = life(20, 2, 4, "ann")
    again[-1:] = [
        entry(30, "requeue", 0, 2),
        entry(31, "dispatch", 1, 2, partition=2, seq=9),
        entry(32, "start", 8, 2, robot="bob"),
        entry(33, "stop", 6, 2, robot="bob"),
        entry(34, "succeed", 4, 2, robot="bob"),
    ]
    return {"a": life(1, 1, 1, "ann"), "b": life(4, 1, 2, "ann"), "c": life(4, 2, 3, "bob"), "d": again}


def test_an_honest_history_is_passed() -> None:
    assert breaches(honest()) == []


def vanish(book: Book) -> None:
    book["a"] = []


def never_end(book: Book) -> None:
    book["d"].pop()


def end_twice(book: Book) -> None:
    book["b"].append(entry(9, "fail", 5))


def end_and_go_on(book: Book) -> None:
    book["b"].append(entry(9, "requeue", 0, 2))


def start_twice(book: Book) -> None:
    book["d"][3:3] = [entry(22, "start", 8, robot="ann"), entry(23, "requeue", 0)]


def share_a_fence(book: Book) -> None:
    book["d"][6]["fence"] = 1


def run_twice_at_once(book: Book) -> None:
    del book["d"][4:6]


def overtake(book: Book) -> None:
    book["a"][1]["seq"], book["b"][1]["seq"] = 2, 1


def overtake_after_a_crash(book: Book) -> None:
    book["e"] = life(40, 1, 0, "cyd")


def share_a_place(book: Book) -> None:
    book["c"][0].update(partition=1, seq=1)


def do_two_things(book: Book) -> None:
    book["b"][3]["at"] = book["a"][3]["at"]


def hold_on_for_ever(book: Book) -> None:
    book["a"].pop()


MUTANTS: list[tuple[Callable[[Book], None], str]] = [
    (vanish, "J1"),
    (never_end, "J1"),
    (end_twice, "J2"),
    (end_and_go_on, "J2"),
    (start_twice, "J4"),
    (share_a_fence, "J4"),
    (run_twice_at_once, "one run of a job"),
    (overtake, "J5"),
    (overtake_after_a_crash, "J5"),
    (share_a_place, "J5 places"),
    (do_two_things, "one live run a robot"),
    (hold_on_for_ever, "one live run a robot"),
]


@pytest.mark.parametrize(("mutate", "rule"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_history_is_convicted(mutate: Callable[[Book], None], rule: str) -> None:
    book = deepcopy(honest())
    mutate(book)
    assert list(RULES[rule](book))
    assert any(sentence.startswith(rule) for sentence in breaches(book))


def test_every_rule_has_a_mutant() -> None:
    assert {rule for _, rule in MUTANTS} == set(RULES)


def test_two_robots_with_one_job_at_once_are_convicted() -> None:
    first = Run("job", 1, "ann", begun=1, ended=4, status=200)
    assert Fleet([], runs=[Run("job", 2, "bob", begun=3, ended=5, status=200), first]).runs_at_once()
    assert not Fleet([], runs=[Run("job", 2, "bob", begun=4, ended=5, status=200), first]).runs_at_once()
    assert not Fleet([], runs=[Run("other", 1, "bob", begun=3, ended=5, status=200), first]).runs_at_once()
