"""How much to measure: some ten minutes by default; BOTSWAIN_BENCH_TINY=1 only shows that all of it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Options:
    rounds: int = 5
    seconds: float = 4.0  # of load, for each measure of the heartbeat
    row_counts: tuple[int, ...] = (10**4, 10**5, 10**6)
    claims: int = 40  # a round
    jobs: int = 1000  # a round
    robots: int = 16
    samples: int = 60  # a round, of each latency
    resource_counts: tuple[int, ...] = (10**3, 10**4, 10**5)
    resource_robots: tuple[int, ...] = (1, 8, 32, 64)

    @classmethod
    def tiny(cls) -> Self:
        return cls(1, 1.0, (1000,), 4, 40, 4, 5, (1000, 2000), (1, 8))
