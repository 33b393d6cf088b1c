"""Who stands for the master's term: designated before auto, and never one that is told never to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scheduler.candidacy import Candidacy


class Member:
    """Stands for a membership: what it sees of the others, and who has the term."""

    is_draining = False
    designated: str | None = None
    holder: str | None = None
    lease = timedelta(seconds=15)

    def __init__(self) -> None:
        self.me = self
        self.name = "scheduler-2"
        self.looks = 0

    def run(self, work: Any, read_only: bool) -> str | None:
        self.looks += 1
        return self.holder


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(("setting", "stands"), [("0", False), ("auto", True), ("1", True)])
def test_alone(member: Member, clock: Clock, setting: str, stands: bool) -> None:
    made: Any = member
    assert Candidacy(made, setting, clock).stands() is stands
    member.is_draining = True
    assert not Candidacy(made, setting, clock).stands()


def test_auto_stands_back_while_a_designated_one_has_the_term(member: Member, clock: Clock) -> None:
    made: Any = member
    candidacy = Candidacy(made, "auto", clock)
    member.designated, member.holder = "scheduler-1", "scheduler-1#1"
    for _ in range(1000):
        clock.now += 0.5
        assert not candidacy.stands()
    assert member.looks <= 500, "one look a second is enough"
    member.designated = None
    assert candidacy.stands()


def test_auto_stands_in_for_one_that_lives_and_leaves_the_term_lying(member: Member, clock: Clock) -> None:
    made: Any = member
    candidacy = Candidacy(made, "auto", clock)
    assert candidacy.stands()
    member.designated = "scheduler-1"
    waited = 0.0
    while not candidacy.stands():
        clock.now += 0.5
        waited += 0.5
        assert waited < 60
    assert waited >= 30, "two leases"
    member.holder = "scheduler-2#1"
    clock.now += 250
    assert candidacy.stands(), "not for a moment only"
    clock.now += 100
    assert not candidacy.stands(), "and then it yields again"
