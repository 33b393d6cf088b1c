"""The marks of the lines in which a robot looks for jobs, as they were before a look at SQL.

Where that look finds a line empty, its mark may go, unless it has changed meanwhile: whoever adds a job marks
the line after the commit, so a job that the look could not see changes the mark after it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from redis import RedisError

from orchestrator.robots.presence import Familiar, Presence

MEMORY_LIMIT = 20_000


@dataclass(frozen=True)
class Marks:
    """Of these lines, those that are marked."""

    lines: tuple[str, ...]
    by_line: Mapping[str, str] = field(default_factory=dict)


class LineMarks:
    """Reads them before the transaction: a Redis that hangs would hold it, and the robot's row, for a second.

    Whose lines they are is known by then from an earlier request only. Those of who makes its first one here
    are read within: a mark too many would have a robot ask for a job that is not there.
    """

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._lines: dict[str, tuple[str, ...]] = {}

    def remember(self, header: str, robot: Familiar) -> None:
        """The lines of the robot that this Authorization, which has just been checked, stands for."""
        if self._lines.get(header) != robot.lines:
            if len(self._lines) >= MEMORY_LIMIT:
                self._lines.clear()
            self._lines[header] = robot.lines

    def read(self, header: str) -> Marks:
        """Those of the lines that are remembered for this Authorization."""
        return self.of(self._lines.get(header, ()))

    def of(self, lines: tuple[str, ...]) -> Marks:
        if lines:
            with suppress(RedisError):
                marks = self._presence.line_marks(lines)
                return Marks(lines, {line: mark for line, mark in zip(lines, marks, strict=True) if mark})
        return Marks(lines)

    def clear(self, marks: Marks, empty: Collection[str]) -> None:
        lines = [line for line in empty if line in marks.by_line]
        if lines:
            with suppress(RedisError):
                self._presence.clear_lines(lines, [marks.by_line[line] for line in lines])
