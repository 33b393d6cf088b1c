"""What this node finds around it, for the server to tell people: room on its disk, and how its clock goes.

A look each half minute, on a thread of its own: a disk that hangs does not keep the node from saying that it
lives. The clock is compared with each answer to that.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from datetime import datetime
from pathlib import Path

EVERY_SECONDS = 30.0


class Surroundings(threading.Thread):
    """Both measures are None until they are known. Nothing is said of a disk that cannot be looked at."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="surroundings", daemon=True)
        self._folder = folder
        self._ended = threading.Event()
        self.free_bytes: int | None = None
        self.clock_ahead_seconds: float | None = None  # of the database's; negative: behind

    def run(self) -> None:
        while not self._ended.is_set():
            self.look()
            self._ended.wait(EVERY_SECONDS)

    def look(self) -> None:
        self.free_bytes = None
        with contextlib.suppress(OSError):
            self.free_bytes = shutil.disk_usage(self._folder).free

    def end(self) -> None:
        self._ended.set()


def ahead_of(other: datetime, asked: datetime, answered: datetime) -> float:
    """Seconds by which this clock is at least ahead, negative: behind, of one that said `other` at some time
    between `asked` and `answered`. A slow answer is no wrong clock."""
    at_least, at_most = (asked - other).total_seconds(), (answered - other).total_seconds()
    return round(max(at_least, min(at_most, 0.0)), 3)
