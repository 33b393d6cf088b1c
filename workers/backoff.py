"""Pauses between attempts: longer each time, and never the same for two nodes."""

from __future__ import annotations

import random

FIRST, LONGEST = 0.5, 30.0


class Backoff:
    def __init__(self) -> None:
        self._next = FIRST

    def next(self, asked: float | None = None) -> float:
        """Seconds to wait; at least what the other side `asked` for."""
        pause = self._next * random.uniform(0.5, 1.0)  # noqa: S311
        self._next = min(self._next * 2, LONGEST)
        return max(pause, asked or 0.0)
