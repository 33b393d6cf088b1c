"""Whether there is room on the disks that a node writes to."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cluster.surroundings.notice import Notice

MIB = 1024 * 1024


@dataclass(frozen=True)
class Room:
    folder: Path | str  # a worker node's as it says it: its machine may be of another kind
    free_bytes: int


def tightest(folders: Sequence[Path]) -> Room:
    """Of these folders the one with the least room. One that is missing counts as what it would lie in."""
    return min((_room(folder) for folder in folders), key=lambda room: room.free_bytes)


def _room(folder: Path) -> Room:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return Room(folder, shutil.disk_usage(there).free)


def notice(room: Room, least_bytes: int) -> Notice | None:
    if room.free_bytes >= least_bytes:
        return None
    said = f"{room.folder} has {room.free_bytes // MIB} MiB left, less than {least_bytes // MIB}: make room"
    return Notice("disk_room", said)
