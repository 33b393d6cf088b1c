"""CSV, HTML and plain text, all as rows of cells: what comes after need not know what it was."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

_GAP = re.compile(r"\s*\|\s*|\s{2,}|\t|\s*\.{3,}\s*")
# Word's `<![if !mso]>` is no HTML; the parser of many Python versions raises at some of them.
_MARKED = re.compile(r"<!\[[^>]*>?")
_SILENT = ("style", "script", "title")


def from_part(kind: str, text: str) -> list[list[str]]:
    """Rows of stripped cells without the empty rows; `kind` is csv, html or text."""
    read = {"csv": _from_csv, "html": _from_html, "text": _from_text}[kind]
    rows = [[" ".join(cell.split()) for cell in row] for row in read(text)]
    return [row for row in rows if any(row)]


def _from_csv(text: str) -> list[list[str]]:
    # csv.Sniffer is misled by decimal commas; the separator that makes the most cells is the right one,
    # and a decimal comma never beats the semicolon or tab around it in the heading lines.
    heading = text.split("\n", 1)[0]
    separator = max(";\t,", key=heading.count)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        return []


def _from_text(text: str) -> list[list[str]]:
    return [_cells(line.lstrip("> ").strip()) for line in text.splitlines()]


def _cells(line: str) -> list[str]:
    cells = _GAP.split(line.strip("|"))
    if len(cells) == 1 and ":" in line:
        label, _, value = line.partition(":")
        return [label, value]
    return cells


def _from_html(text: str) -> list[list[str]]:
    parser = _Tables()
    parser.feed(_MARKED.sub("", text))
    parser.close()
    return parser.rows


class _Tables(HTMLParser):
    """Rows of all tables. Mail is full of tables in tables and of cells that nobody closed: a new cell ends
    the last one, a new row likewise, and a table inside a cell has rows of its own."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self._open: list[list[str]] = []
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent = True
        elif tag == "table":
            self._open.append([])
        elif tag == "tr":
            self._end_row()
        elif tag in ("td", "th") and self._open:
            self._open[-1].append("")
        elif tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = False
        elif tag in ("tr", "table"):
            self._end_row()
        if tag == "table" and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._silent and self._open and self._open[-1]:
            self._open[-1][-1] += data

    def close(self) -> None:
        super().close()
        while self._open:
            self._end_row()
            self._open.pop()

    def _end_row(self) -> None:
        if self._open and self._open[-1]:
            self.rows.append(self._open[-1])
            self._open[-1] = []
