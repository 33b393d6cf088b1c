"""Requests that arrive while others are being done are done together, in one go (group commit).

Whoever comes first leads: it does its own request at once, alone. What has gathered meanwhile is done by
the first of those who wait, for all of them. So nobody waits for company who is alone, and the more there
are, the fewer transactions each of them costs.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

Request = TypeVar("Request")
Result = TypeVar("Result")

# Those who were just answered often ask again at once. Without a moment for them, the first of them leads
# alone and the rest gather meanwhile: with 16 threads the batches were measured to be 1, 16, 1, 16 …
# Over HTTP their answers are on their way first, for longer the more there were: hence a part of the time
# that the batch before took.
GATHERING_SECONDS = 0.003
LONGEST_GATHERING_SECONDS = 0.025
GATHERING_PART = 0.5
GLANCE_SECONDS = 0.0005


class _Place(Generic[Request]):
    """A request in the queue. Its thread sleeps on `turn`, to wake as the leader or with an outcome."""

    __slots__ = ("expected", "is_done", "outcome", "patience", "request", "turn")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.turn = threading.Lock()
        self.turn.acquire()
        self.is_done = False
        self.outcome: object = None
        self.expected = 1
        self.patience = 0.0


@dataclass(frozen=True)
class _Done:
    """A batch that has ended."""

    ended: float
    size: int
    patience: float  # seconds in which those whom it answered may ask again

    @classmethod
    def now(cls, size: int, began: float) -> _Done:
        ended = time.monotonic()
        patience = max(GATHERING_SECONDS, GATHERING_PART * (ended - began))
        return cls(ended, size, min(patience, LONGEST_GATHERING_SECONDS))


class Batcher(Generic[Request, Result]):
    """`perform` gets up to `limit` requests of one key, in their order, and returns an outcome for each.

    An outcome that is an exception is raised to whoever made the request. An exception that `perform`
    raises is raised to all of them: a batch must therefore change nothing when it fails.
    """

    def __init__(
        self, perform: Callable[[Sequence[Request]], Sequence[Result | Exception]], limit: int = 32
    ) -> None:
        self._perform = perform
        self._limit = limit
        self._mutex = threading.Lock()
        self._waiting: dict[Hashable, list[_Place[Request]]] = defaultdict(list)
        self._led: set[Hashable] = set()
        self._latest: dict[Hashable, _Done] = {}

    def submit(self, key: Hashable, request: Request) -> Result:
        """Do `request`, with others of the same key or alone, and return its result."""
        place = _Place(request)
        with self._mutex:
            waiting = self._waiting[key]
            waiting.append(place)
            leads = key not in self._led
            if leads:
                self._led.add(key)
                self._expect_company(key, place)
        if not leads:
            place.turn.acquire()
        if not place.is_done:
            self._gather(waiting, place)
            self._lead(key)
        if isinstance(place.outcome, BaseException):
            raise place.outcome
        return cast(Result, place.outcome)

    def _expect_company(self, key: Hashable, place: _Place[Request]) -> None:
        """Those of a batch that has just ended may come with one who finds nobody at work."""
        latest = self._latest.pop(key, None)
        if latest is not None and time.monotonic() - latest.ended < latest.patience:
            place.expected, place.patience = latest.size, latest.patience

    def _gather(self, waiting: list[_Place[Request]], leader: _Place[Request]) -> None:
        deadline = time.monotonic() + leader.patience
        while len(waiting) < leader.expected and time.monotonic() < deadline:
            time.sleep(GLANCE_SECONDS)

    def _lead(self, key: Hashable) -> None:
        with self._mutex:
            waiting = self._waiting[key]
            batch = waiting[: self._limit]
            del waiting[: self._limit]
        began = time.monotonic()
        try:
            outcomes: Sequence[object] = self._perform([place.request for place in batch])
        except BaseException as error:  # those who wait must wake, whatever it is
            outcomes = [error] * len(batch)
        finally:
            self._pass_on(key, _Done.now(len(batch), began))
        for place, outcome in zip(batch, outcomes, strict=True):
            place.outcome, place.is_done = outcome, True
            place.turn.release()

    def _pass_on(self, key: Hashable, done: _Done) -> None:
        """Before the outcomes are told, so that the next leader is awake when their threads come again."""
        with self._mutex:
            waiting = self._waiting[key]
            if waiting:
                waiting[0].expected = min(len(waiting) + done.size, self._limit)
                waiting[0].patience = done.patience
                waiting[0].turn.release()
            else:
                del self._waiting[key]
                self._led.discard(key)
                self._latest[key] = done
