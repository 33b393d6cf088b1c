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
    redis_empties: int = 200
    redis_stops: int = 50
    redis_holds: int = 20
    mariadb_kills: int = 50
    cut_seconds: float = 60.0
    cut_lease: float = 15.0
    restarts: int = 20
    limit: float = 1800.0
    is_short: bool = False

    @property
    def patience(self) -> float:
        """Times are judged by the long form; the short one runs beside other tests, on a busy machine."""
        return 10.0 if self.is_short else 1.0

    @classmethod
    def short(cls) -> Self:
        return cls(10, 1, 500, 1, 2, 1, 1, 1, 6.0, 3.0, 1, 40.0, True)
