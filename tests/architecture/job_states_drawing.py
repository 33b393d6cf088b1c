"""docs/reference/job-states.md, read: the arrows of its diagram, and the rows of its tables."""

import re

from tests.architecture.source_files import PROJECT

PAGE = PROJECT / "docs" / "reference" / "job-states.md"
ARROW = re.compile(r"^\s+(\S+) --> (\S+)(?: : (\S+))?$")
END = "[*]"

Arrow = tuple[str, str, str]  # event, from, to


def _diagram() -> list[tuple[str, str, str]]:
    """(from, to, event) of each line; the event is empty at the beginning and at the ends."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition("```mermaid\nstateDiagram-v2\n")
    lines = rest.partition("```")[0].splitlines()
    found = [ARROW.match(line) for line in lines]
    unread = [line for line, match in zip(lines, found, strict=True) if match is None]
    assert not unread, f"lines of the diagram that are no arrows: {unread}"
    return [(match[1], match[2], match[3] or "") for match in found if match]


def arrows() -> set[Arrow]:
    """What the diagram shows: (event, from, to)."""
    return {(event, source, target) for source, target, event in _diagram() if event}


def beginnings() -> set[str]:
    return {target for source, target, _ in _diagram() if source == END}


def ends() -> set[str]:
    return {source for source, target, _ in _diagram() if target == END}


def _table(heading: str) -> list[list[str]]:
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def states() -> dict[str, int]:
    """Names and numbers; each has a sentence."""
    rows = _table("States")
    assert all(len(row[2]) > 15 and row[2].endswith(".") for row in rows), rows
    return {row[1]: int(row[0]) for row in rows}


def events() -> dict[str, tuple[str, frozenset[str], str]]:
    """(who, from, to) of each event; each has a sentence."""
    rows = _table("Events")
    assert all(len(row[4]) > 15 and row[4].endswith(".") for row in rows), rows
    return {row[0]: (row[1], frozenset(row[2].split(", ")), row[3]) for row in rows}
