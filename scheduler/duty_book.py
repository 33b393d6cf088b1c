"""When each duty is due, and how it fared: kept in memory, and told to people through SQL.

A quiet master must not write all the time. What is new is written in one transaction: at once where a duty
begins or ceases to fail, after two seconds where one changed something, and else every fifteen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.cluster import duties
from orchestrator.errors import BotswainError
from scheduler.maintenance import Counts, Duty
from scheduler.term import Term

BUSY_SECONDS = 2.0
QUIET_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 60.0  # between two attempts of a duty that fails, unless it is done less often anyway


@dataclass
class Entry:
    """Times are those of the monotonic clock."""

    began: float
    due: float
    ended: float | None = None
    counts: Counts = field(default_factory=dict)
    counted: float | None = None
    failures: int = 0
    error: str | None = None
    progress: tuple[int, int | None] | None = None


class DutyBook:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: dict[str, Entry] = {}
        self._unwritten: set[str] = set()
        self._written = float("-inf")
        self._write_at = float("inf")

    def is_due(self, duty: Duty) -> bool:
        entry = self._entries.get(duty.name)
        return entry is None or self._clock() >= entry.due

    def begin(self, duty: Duty) -> None:
        now = self._clock()
        entry = self._entries.setdefault(duty.name, Entry(now, now))
        entry.began, entry.due = now, now + duty.every
        entry.ended = entry.progress = None

    def progress(self, duty: Duty, term: Term, done: int, total: int | None) -> None:
        self._entries[duty.name].progress = (done, total)
        self._note(duty, self._written + BUSY_SECONDS)
        self.write(term)

    def end(self, duty: Duty, counts: Counts) -> None:
        entry, now = self._entries[duty.name], self._clock()
        recovered = entry.failures > 0
        entry.ended, entry.failures, entry.error = now, 0, None
        if counts:
            entry.counts, entry.counted = counts, now
        busy = bool(counts) or entry.progress is not None
        self._note(duty, now if recovered else self._written + (BUSY_SECONDS if busy else QUIET_SECONDS))

    def fail(self, duty: Duty, error: Exception) -> int:
        """Returns how many times in a row it has failed by now. The next attempt comes later each time."""
        entry, now = self._entries[duty.name], self._clock()
        entry.ended, entry.failures, entry.error = now, entry.failures + 1, sentence(error)
        pause = min(duty.every * 2**entry.failures, max(duty.every, LONGEST_PAUSE_SECONDS))
        entry.due = now + pause
        self._note(duty, now if entry.failures == 1 else self._written + BUSY_SECONDS)
        return entry.failures

    def _note(self, duty: Duty, write_at: float) -> None:
        self._unwritten.add(duty.name)
        self._write_at = min(self._write_at, write_at)

    def write(self, term: Term) -> None:
        """Tell what is new, if it is time. Raises `TermOver`."""
        if self._clock() < self._write_at:
            return
        names = sorted(self._unwritten)
        term.run(lambda tx: duties.record(tx, [self._row(name, term, tx.now) for name in names]))
        self._unwritten.clear()
        self._written, self._write_at = self._clock(), float("inf")

    def _row(self, name: str, term: Term, now: datetime) -> dict[str, Any]:
        entry, clock = self._entries[name], self._clock()

        def at(moment: float | None) -> datetime | None:
            return None if moment is None else now + timedelta(seconds=moment - clock)

        done, total = entry.progress or (None, None)
        return {
            "name": name,
            "node": term.membership.me.name,
            "term": term.epoch,
            "started_at": at(entry.began),
            "ended_at": at(entry.ended),
            "seconds": None if entry.ended is None else entry.ended - entry.began,
            "due_at": at(entry.due),
            "counts": entry.counts,
            "counted_at": at(entry.counted),
            "failures": entry.failures,
            "error": entry.error,
            "done": done,
            "total": total,
        }


def sentence(error: Exception) -> str:
    """What people are shown. Of a statement that failed: not its values, which may be anybody's."""
    if isinstance(error, BotswainError):
        return error.detail[:500]
    return f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"[:500]
