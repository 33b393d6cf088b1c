"""What a node finds around it: one kind of trouble a file, each told as a sentence that says what to do.

Each node looks for itself, since a clock and a disk are a machine's own. What it found is kept in its
row of `nodes`: `{"free_bytes": n, "clock_ahead_seconds": x, "notices": [{"code": …, "sentence": …}]}`. A
scheduler's maintenance window is there too, since the one that is master goes by its own setting, and how
many of its writes were refused as stale since its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from redis import Redis

from orchestrator.cluster.surroundings import clocks, disk_room, eviction
from orchestrator.cluster.surroundings.disk_room import Room
from orchestrator.cluster.surroundings.notice import Notice

__all__ = ["MAINTENANCE_WINDOW", "STALE_WRITES", "Findings", "Notice", "look", "told"]

MAINTENANCE_WINDOW = "maintenance_window"
STALE_WRITES = "stale_writes"


@dataclass(frozen=True)
class Findings:
    free_bytes: int | None
    clock_ahead_seconds: float | None  # of the database's; negative: behind
    notices: Sequence[Notice]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def look(redis: Redis, database_now: datetime, folders: Sequence[Path], least_bytes: int) -> Findings:
    """`database_now` is the database's time at this moment; Redis being away is a notice, not an error."""
    ahead = clocks.ahead_of(database_now)
    room = disk_room.tightest(folders)
    found = [
        clocks.notice("the database", ahead),
        *eviction.notices(redis),
        clocks.redis_notice(redis),
        disk_room.notice(room, least_bytes),
    ]
    return Findings(room.free_bytes, round(ahead, 3), [notice for notice in found if notice is not None])


def told(folder: str, free_bytes: int | None, ahead: float | None, least_bytes: int) -> Findings:
    """What a worker node says of its folder and its clock, with the trouble that it means."""
    found = [
        None if ahead is None else clocks.notice("the database", ahead),
        None if free_bytes is None else disk_room.notice(Room(folder, free_bytes), least_bytes),
    ]
    return Findings(free_bytes, ahead, [notice for notice in found if notice is not None])
