"""Which partition to serve next: of all that are owned, the one whose oldest task has waited longest."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime

from orchestrator.tasks.heads import Head
from orchestrator.tasks.model import RANK_SHIFT, Lane

Line = tuple[int, Lane]  # partition, lane
Age = tuple[int, datetime]  # rank, then time of arrival: smaller goes first

NEVER_SEEN: Age = (0, datetime.min.replace(tzinfo=UTC))


class Lineup:
    """Lines known to hold work, and those at which a thread is already busy. Shared by the threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[Line, Age] = {}
        self._busy: set[Line] = set()
        self._hinted: dict[Line, None] = {}  # in the order of their coming, the handing out of jobs first
        self._is_awake = False

    def hint(self, partitions: Iterable[int]) -> None:
        """There may be work in these partitions: look, before anything else."""
        with self._condition:
            for partition in partitions:
                for lane in Lane:
                    self._hinted[partition, lane] = None
            self._condition.notify_all()

    def wake(self) -> None:
        with self._condition:
            self._is_awake = True
            self._condition.notify_all()

    def set_heads(self, heads: Iterable[Head]) -> None:
        """What a look at all the lines has found."""
        with self._condition:
            self._waiting = {(h.partition, h.lane): (h.position // RANK_SHIFT, h.created_at) for h in heads}
            self._condition.notify_all()

    def take(self, owned: Iterable[int], seconds: float) -> Line | None:
        """The next line to serve, which no other thread gets until `put_back`; None after `seconds`."""
        allowed = set(owned)
        with self._condition:
            line = self._next(allowed)
            if line is None and not self._is_awake:
                self._condition.wait(seconds)
                line = self._next(allowed)
            self._is_awake = False
            if line is not None:
                self._busy.add(line)
            return line

    def _next(self, allowed: set[int]) -> Line | None:
        free = [line for line in self._waiting if line[0] in allowed and line not in self._busy]
        if free:
            return min(free, key=self._waiting.__getitem__)
        for line in self._hinted:
            if line[0] in allowed and line not in self._busy:
                del self._hinted[line]
                return line
        return None

    def put_back(self, line: Line, next_created_at: datetime | None) -> None:
        """The line was served; `next_created_at` is the arrival of what now stands at its head."""
        with self._condition:
            self._busy.discard(line)
            if next_created_at is None:
                self._waiting.pop(line, None)
            else:
                rank, _ = self._waiting.get(line, NEVER_SEEN)
                self._waiting[line] = (rank, next_created_at)
            self._condition.notify()
