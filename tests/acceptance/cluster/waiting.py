"""Waiting for facts: what a test expects is polled until it holds or its deadline has passed."""

import time
from collections.abc import Callable
from typing import TypeVar

Fact = TypeVar("Fact")

PATIENCE = 45.0  # seconds; a busy machine of two cores, not the product, is what this allows for


def eventually(
    fact: Callable[[], Fact | None], what: str, seconds: float = PATIENCE, every: float = 0.05
) -> Fact:
    """The first true answer of `fact`; AssertionError names `what` and the last answer or error."""
    end = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            last = answer = fact()
            if answer:
                return answer
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; the last answer was {last!r}")
        time.sleep(every)
