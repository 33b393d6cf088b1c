"""What the commands show: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES = {
    "Success": "green",
    "Failed": "red",
    "Aborted": "magenta",
    "Aborting": "magenta",
    "Stopped": "yellow",
    "Stopping": "yellow",
    "In_Progress": "cyan",
    "up": "green",
    "draining": "yellow",
    "lost": "red",
    "fired": "green",
    "waiting": "cyan",
    "skipped": "yellow",
    "failed": "red",
    "open": "red",
    "half_open": "yellow",
    "closed": "green",
}
WIDTH_OF_FILES = 160

as_json = click.option("--json", "json_", is_flag=True, help="the server's JSON, for programs")


def console(*, err: bool = False) -> Console:
    """Of the terminal's width; wide where the output goes into a file."""
    made = Console(stderr=err, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = WIDTH_OF_FILES
    return made


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


class PlainTable(Table):
    """A table whose texts are shown as they are, whoever wrote them."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*[clean(cell) if isinstance(cell, str) else cell for cell in cells], **options)


def table(*headings: str) -> PlainTable:
    return PlainTable(*headings, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def clean(text: str) -> str:
    """Without control characters: a robot's error text must not drive the operator's terminal."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(name, STYLES.get(name, ""))


def facts(rows: Sequence[tuple[str, Any]]) -> Table:
    """Names and values below each other; what has no value is left out."""
    made = Table.grid(padding=(0, 2, 0, 0))
    for name, value in rows:
        if value not in (None, "", []):
            made.add_row(Text(name, "dim"), value if isinstance(value, Text) else clean(plain(value)))
    return made


def plain(value: Any) -> str:
    """A value as text: JSON, unless it is a text already."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def moment(text: str | None) -> str:
    """A time of the API (RFC 3339) in this machine's zone, to the second."""
    return "" if not text else _read(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(text: str | None, now: datetime | None = None) -> str:
    """How long ago that was, in the largest unit that fits."""
    if not text:
        return ""
    return _in_words(((now or datetime.now(UTC)) - _read(text)).total_seconds())


def until(text: str | None, now: datetime | None = None) -> str:
    """In how long that is, in the largest unit that fits; «now» when it has come."""
    if not text:
        return ""
    seconds = (_read(text) - (now or datetime.now(UTC))).total_seconds()
    return f"in {_in_words(seconds)}" if seconds >= 1 else "now"


def _in_words(duration: float) -> str:
    seconds = max(0, int(duration))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)
