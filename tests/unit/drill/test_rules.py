"""The judge of the drill passes an honest database and convicts every kind of broken one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.tasks.model import TaskStatus
from tests.drill.rules import RULES, Change, breaches

QUEUED, CLAIMED, SUCCEEDED = TaskStatus.QUEUED, TaskStatus.CLAIMED, TaskStatus.SUCCEEDED
POSTPONED = TaskStatus.POSTPONED
Book = list[Change]


def claim(task: int, writer: str, fence: int = 1, owner: str = "") -> Change:
    return Change(task, 1, task, QUEUED, CLAIMED, fence - 1, fence, writer, owner or writer)


def finish(task: int, writer: str, fence: int = 1, owner: str = "") -> Change:
    return Change(task, 1, task, CLAIMED, SUCCEEDED, fence, fence, writer, owner or writer)


def hand_out(task: int, writer: str, owner: str = "") -> Change:
    return Change(task, 1, task, QUEUED, SUCCEEDED, 0, 1, writer, owner or writer)


def put_back(task: int, writer: str, fence: int = 1) -> Change:
    return Change(task, 1, task, CLAIMED, QUEUED, fence, fence, writer, writer)


def honest() -> Book:
    """Task 3 is claimed by scheduler 1, which falls silent; scheduler 2 adopts the partition."""
    return [
        claim(1, "1"),
        claim(2, "1"),
        finish(1, "1"),
        finish(2, "1"),
        claim(3, "1"),
        put_back(3, "2"),
        claim(3, "2", 2),
        finish(3, "2", 2),
        claim(4, "2"),
        finish(4, "2", owner="3"),  # its claim stands until scheduler 3, who has the partition, takes it back
        hand_out(5, "3"),
    ]


def lose(book: Book) -> None:
    del book[2]


def lose_after_a_claim(book: Book) -> None:
    del book[9]


def never_touch(book: Book) -> None:
    del book[-1]


def finish_twice(book: Book) -> None:
    book.append(finish(4, "2"))


def go_on_after_the_end(book: Book) -> None:
    book.append(put_back(4, "2"))


def overtake(book: Book) -> None:
    book[2], book[3] = book[3], book[2]


def overtake_after_a_crash(book: Book) -> None:
    book[8:10], book[4:8] = book[4:8], book[8:10]


def claim_after_adoption(book: Book) -> None:
    book[6] = claim(3, "1", 2, owner="2")


def hand_out_after_adoption(book: Book) -> None:
    book[-1] = hand_out(5, "2", owner="3")


def claim_what_is_claimed(book: Book) -> None:
    book[6] = replace(book[6], before=CLAIMED)


def claim_without_a_new_fence(book: Book) -> None:
    book[6] = claim(3, "2", 2)
    book[6] = replace(book[6], fence=1)


def finish_with_the_old_fence(book: Book) -> None:
    book[7] = finish(3, "1", 1)


def finish_what_another_claimed(book: Book) -> None:
    book[7] = finish(3, "1", 2)


def finish_what_was_put_back(book: Book) -> None:
    book[6:8] = [finish(3, "1")]


MUTANTS: list[tuple[Callable[[Book], None], str]] = [
    (lose, "tasks lost"),
    (lose_after_a_claim, "tasks lost"),
    (never_touch, "tasks lost"),
    (finish_twice, "tasks finished twice"),
    (go_on_after_the_end, "tasks finished twice"),
    (overtake, "tasks out of order in a partition"),
    (overtake_after_a_crash, "tasks out of order in a partition"),
    (claim_after_adoption, "tasks taken by another than the owner"),
    (hand_out_after_adoption, "tasks taken by another than the owner"),
    (claim_what_is_claimed, "tasks taken by another than the owner"),
    (claim_without_a_new_fence, "tasks taken by another than the owner"),
    (finish_with_the_old_fence, "stale writes accepted"),
    (finish_what_another_claimed, "stale writes accepted"),
    (finish_what_was_put_back, "stale writes accepted"),
]


def test_an_honest_database_is_passed() -> None:
    assert breaches(honest(), [1, 2, 3, 4, 5]) == {rule: [] for rule in RULES}


def test_who_was_set_aside_may_be_overtaken_and_who_was_not_may_not() -> None:
    book = honest()
    aside = [claim(6, "3"), Change(6, 1, 6, CLAIMED, POSTPONED, 1, 1, "3", "3")]
    later = [
        Change(6, 1, 6, POSTPONED, QUEUED, 1, 1, "3", "3"),
        replace(hand_out(6, "3"), fence_before=1, fence=2),
    ]
    assert not any(breaches([*book, *aside, hand_out(7, "3"), *later], [1, 2, 3, 4, 5, 6, 7]).values())
    assert breaches([*book, hand_out(7, "3"), *later[1:]], [])["tasks out of order in a partition"]


@pytest.mark.parametrize(("mutate", "rule"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_one_is_convicted(mutate: Callable[[Book], None], rule: str) -> None:
    book = honest()
    mutate(book)
    assert breaches(book, [1, 2, 3, 4, 5])[rule]


def test_every_rule_has_a_mutant() -> None:
    assert {rule for _, rule in MUTANTS} == set(RULES)
