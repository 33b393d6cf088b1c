"""Waiting for a resource: what was granted meanwhile is answered, whatever becomes of the place in line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from orchestrator.api.call import Call
from orchestrator.api.patience import Nothing, Place, patiently
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.errors import Unavailable
from orchestrator.resources.waits import NEWCOMER
from orchestrator.transaction import Transaction

PLACE = Place(7, ["queue:1"])


class Away:
    """A database that is there for who joins, and away for who leaves."""

    def transact(self, work: Callable[[Any], Any]) -> Any:
        if work is join:
            return PLACE
        raise Unavailable("The database does not answer.")


class Room:
    def wait(self, lines: Sequence[str], seconds: float, look: Callable[[], bool]) -> bool:
        return look()


def join(_tx: Transaction) -> Place:
    return PLACE


def stay(_tx: Transaction, _place: Place) -> None:
    raise AssertionError("nobody stays who was served")


def attempt(ticket: int | None) -> str:
    if ticket == NEWCOMER:
        raise Nothing
    return f"granted to {ticket}"


def test_a_grant_is_answered_though_the_place_cannot_be_given_up() -> None:
    call, room = cast(Call, Away()), cast(WaitingRoom, Room())
    assert patiently(call, room, 5, attempt, join, stay) == "granted to 7"
