"""How long to wait before the next try while the server is away."""

from __future__ import annotations

import random
from typing import Callable, Optional

FIRST, CAP, LONGEST_ORDERED = 0.5, 30.0, 300.0  # seconds


class Backoff:
    """Exponential, with full jitter: a fleet that lost its server does not come back all at once."""

    def __init__(self, cap: float = CAP, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._cap, self._uniform, self._tries = cap, uniform, 0

    def reset(self) -> None:
        """The server answered: the next failure starts from the shortest wait."""
        self._tries = 0

    def next(self, retry_after: Optional[float] = None) -> float:
        """Seconds to wait now. What the server ordered (`Retry-After`) is a floor, up to five minutes."""
        ceiling = min(self._cap, FIRST * 2 ** min(self._tries, 16))
        self._tries += 1
        return min(retry_after or 0.0, LONGEST_ORDERED) + self._uniform(0, ceiling)
