"""Requests that may wait for a resource: tried at once and, while others are before them, tried again.

Each try is a transaction of its own. Between tries the request is parked in the waiting room, and keeps its
place in line in SQL, so that those who wait are served in the order in which they came.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from orchestrator.api.call import Call
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.errors import Conflict, Locked, Unavailable
from orchestrator.resources import waits
from orchestrator.resources.changes import Outrun
from orchestrator.resources.waits import NotYourTurn
from orchestrator.transaction import Transaction

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
TRIES = 40


class Nothing(Exception):  # noqa: N818  (an outcome, not an error)
    """There is no resource that fits; nothing was changed."""


@dataclass(frozen=True)
class Place:
    """A place in line, and the lines whose news wake it."""

    ticket: int
    lines: Sequence[str]


def settled(attempt: Callable[[], Result]) -> Result:
    """`attempt`, again while others are quicker. Each that is quicker has got something done."""
    for number in range(TRIES):
        try:
            return attempt()
        except Outrun:
            time.sleep(random.uniform(0, 0.002) * min(number, 10))  # noqa: S311  (jitter)
    raise Conflict("Others change the same resource all the time; try again shortly.")


def patiently(
    call: Call,
    room: WaitingRoom,
    seconds: float,
    attempt: Callable[[int | None], Result],
    join: Callable[[Transaction], Place],
    stay: Callable[[Transaction, Place], None],
) -> Result:
    """What `attempt` returns, for at most `seconds` as long as it raises `Locked` or `Nothing`.

    `attempt` gets the place in line: None for who does not wait, and so asks nobody to go first. `join`
    takes the place, `stay` keeps it; either may raise `WaitCycle`.
    """
    if seconds <= 0:
        return settled(lambda: attempt(None))
    try:
        return settled(lambda: attempt(waits.NEWCOMER))
    except (Locked, Nothing, NotYourTurn):
        place = call.transact(join)
    try:
        return _stay(call, room, seconds, attempt, stay, place)
    finally:
        _leave(call, place)


def _leave(call: Call, place: Place) -> None:
    """Give the place up; where that cannot be, it lapses by itself. What was granted meanwhile is committed:
    an error in place of its answer would leave the grant with one who does not know of it."""
    try:
        call.transact(lambda tx: waits.leave(tx, place.ticket, place.lines))
    except Unavailable as error:
        log.warning("place_not_given_up", error=error.detail)


def _stay(
    call: Call,
    room: WaitingRoom,
    seconds: float,
    attempt: Callable[[int | None], Result],
    stay: Callable[[Transaction, Place], None],
    place: Place,
) -> Result:
    results: list[Result] = []
    refusals: list[Exception] = []

    def look() -> bool:
        try:
            results.append(settled(lambda: attempt(place.ticket)))
        except (Locked, Nothing, NotYourTurn) as refusal:
            refusals.append(refusal)
            call.transact(lambda tx: stay(tx, place))
            return False
        return True

    room.wait(place.lines, seconds, look)
    if results:
        return results[0]
    raise refusals[-1]
