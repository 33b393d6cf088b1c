"""How much to hurt: the figures that are promised by default, a few of each in the short form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Options:
    """`limit` is seconds: a drill that reaches it ends its harm there and says how far it came."""

    kills: int = 1000
    stops: int = 100
    tasks: int = 100_000
    failpoint_times: int = 50
    master_times: int = 200
    redis_empties: int = 200
    redis_stops: int = 50
    redis_holds: int = 20
    mariadb_kills: int = 50
    cut_seconds: float = 60.0
    cut_lease: float = 15.0
    restarts: int = 20
    limit: float = 1800.0
    is_short: bool = False

    @classmethod
    def short(cls) -> Self:
        return cls(12, 2, 600, 1, 3, 4, 1, 1, 1, 8.0, 4.0, 1, 60.0, True)
