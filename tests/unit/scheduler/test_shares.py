"""Shares of the partitions: whole, equal, and no more moved than must be."""

from __future__ import annotations

import random

from orchestrator.tasks.model import PARTITIONS
from scheduler import shares

EVERY = set(range(PARTITIONS))


def settle(owned: dict[int, set[int]]) -> int:
    """Let all members take turns until nothing moves; how many partitions have moved."""
    moved = 0
    while True:
        before = {me: set(mine) for me, mine in owned.items()}
        for me, mine in owned.items():
            free = EVERY - set().union(*owned.values())
            step = shares.by_count(me, list(owned), mine, free)
            mine -= set(step.give_back)
            mine |= set(step.take)
            moved += len(step.take)
        if owned == before:
            return moved


def test_whoever_comes_and_goes_the_shares_are_whole_equal_and_move_little() -> None:
    chance = random.Random(7)
    owned: dict[int, set[int]] = {1: set()}
    for _ in range(200):
        before = len(owned)
        if chance.random() < 0.5 and len(owned) < PARTITIONS:
            owned[next(n for n in range(1, 99) if n not in owned)] = set()
        elif len(owned) > 1:
            del owned[chance.choice(sorted(owned))]
        moved = settle(owned)
        sizes = sorted(len(mine) for mine in owned.values())
        assert sum(sizes) == PARTITIONS
        assert sizes[-1] - sizes[0] <= 1
        must = -(-PARTITIONS // min(before, len(owned)))
        assert moved <= must + len(owned), (before, len(owned), moved)


def test_who_does_not_live_takes_nothing_and_gives_nothing() -> None:
    assert shares.by_count(3, [1, 2], {5}, EVERY) == shares.Step([], [])


def test_by_number_a_home_is_one_s_own_and_the_rest_only_while_its_owner_is_away() -> None:
    step = shares.by_number(1, 4, {1, 3}, owned={0, 1, 2, 3}, free={4, 5, 6, 7})
    assert step == shares.Step(take=[4, 5, 7], give_back=[2])
