"""A circuit breaker: a Redis that hangs costs one call its timeout, not every call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from redis import ConnectionError as RedisAway
from redis import RedisError
from redis import TimeoutError as RedisTimeout

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

PAUSE_SECONDS = 1.0


class Skipped(RedisError):  # noqa: N818  (an outcome, not an error)
    """Redis did not answer a moment ago, and was not asked."""


class Breaker:
    """Calls go through until one is not answered; then none does for a second, after which one at a time
    tries again while the others go on without."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._is_broken = False
        self._is_tried = False  # one call is out to learn whether it answers again
        self._try_at = 0.0

    def call(self, ask: Callable[[], Result]) -> Result:
        """What `ask` returns. Raises what it raises, and `Skipped` where it was not called."""
        self._pass()
        answers = True
        try:
            return ask()
        except (RedisAway, RedisTimeout):
            answers = False
            raise
        finally:
            self._learn(answers)

    def _pass(self) -> None:
        if not self._is_broken:  # without the lock: this is every call of a good day
            return
        with self._lock:
            if self._is_broken and (self._is_tried or self._clock() < self._try_at):
                raise Skipped("Redis did not answer a moment ago.")
            self._is_tried = True

    def _learn(self, answers: bool) -> None:
        if answers and not self._is_broken:
            return
        with self._lock:
            if self._is_broken is answers:
                log.warning("redis_answers_again" if answers else "redis_does_not_answer")
            self._is_broken, self._is_tried = not answers, False
            self._try_at = self._clock() + PAUSE_SECONDS
