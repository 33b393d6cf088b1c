"""Find the invoice in a message: labels and values out of rows of cells, as plain data, amounts as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Optional

import labels
import rows
import values
from message import BrokenEncodingError, Mail, Part

Problem = dict[str, str]
"""`code` for programs, `text` for the person who looks at it."""
Found = tuple[Optional[dict[str, Any]], list[Problem]]  # noqa: UP045  evaluated, so Python 3.9 needs Optional

_LINE = ("description", "quantity", "price", "amount")
_ENOUGH = 4  # a reminder, too, names a number and a total; with four fields it is an invoice


def find(mail: Mail) -> Found:
    """The invoice of a message, or None and why. The first part that holds one counts; a damaged part before
    it ends the search, for nothing that is read out of damaged text can be trusted."""
    for part in mail.parts:
        try:
            written, lines = _written(part)
        except BrokenEncodingError as error:
            return None, [_problem("broken_encoding", f"{error} Ask the sender for a new copy.")]
        if len(written) >= _ENOUGH:
            return _read(written, lines)
    unread = f" It carries {', '.join(mail.unread)}, which this process cannot read." if mail.unread else ""
    return None, [_problem("no_invoice", f"No invoice was found in this message.{unread}")]


def _problem(code: str, text: str) -> Problem:
    return {"code": code, "text": text}


def _written(part: Part) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The invoice's fields and its lines, as they are written. The first mention of a field counts."""
    fields: dict[str, str] = {}
    lines: list[dict[str, str]] = []
    heading: list[str] = []
    for row in rows.from_part(part.kind, part.text()):
        named = [labels.field_of(cell) for cell in row]
        if sum(1 for field, _ in named if field) >= 3:
            heading = [field for field, _ in named]
            _keep_rate(fields, "".join(rate for _, rate in named))
        elif len(row) == len(heading) and not named[0][0]:
            _by_column(heading, row, fields, lines)
        elif len(row) >= 2 and named[0][0]:
            field, rate = named[0]
            fields.setdefault(field, next((cell for cell in row[1:] if cell), ""))
            _keep_rate(fields, rate)
    return {field: value for field, value in fields.items() if field not in _LINE}, lines


def _keep_rate(fields: dict[str, str], rate: str) -> None:
    """Many write the rate into the label of the VAT amount only, `TVA 20 %`."""
    if rate:
        fields.setdefault("vat_rate", rate)


def _by_column(
    heading: list[str], row: list[str], fields: dict[str, str], lines: list[dict[str, str]]
) -> None:
    line = {}
    for place, field in enumerate(heading):
        if field in _LINE:
            line[field] = row[place]
        elif field:
            fields.setdefault(field, row[place])
    if line:
        lines.append(line)


def _read(written: dict[str, str], lines: list[dict[str, str]]) -> Found:
    """The values of what is written, or None and each field that cannot be read."""
    problems: list[Problem] = []
    read: dict[str, Any] = {"iban": _code(written.get("iban", "")), "currency": "EUR"}
    for field, (name, reader) in _READERS.items():
        if field not in written:
            problems.append(_problem("unreadable_field", f"The invoice does not say its {name}."))
            continue
        try:
            read[field] = reader(written[field])
        except ValueError:
            text = f"The {name} {written[field]!r} cannot be read without doubt."
            problems.append(_problem("unreadable_field", text))
    try:
        read["lines"] = [_line(line) for line in lines]
    except (ValueError, KeyError):
        problems.append(_problem("unreadable_field", "A line of the invoice cannot be read without doubt."))
    return (None, problems) if problems else (read, [])


def _line(line: dict[str, str]) -> dict[str, str]:
    return {
        "description": line["description"],
        "quantity": _decimal(line["quantity"]),
        "price": _money(line["price"]),
        "amount": _money(line["amount"]),
    }


def _code(written: str) -> str:
    """VAT numbers and IBANs are printed in groups; without blanks and dots they compare."""
    return re.sub(r"[\s.-]", "", written).upper()


def _number(written: str) -> str:
    if not written.strip():
        raise ValueError("empty")
    return written.strip()


def _money(written: str) -> str:
    return str(values.amount(written).quantize(Decimal("0.01")))


def _decimal(written: str) -> str:
    return f"{values.amount(written.replace('%', '')).normalize():f}"


_READERS: dict[str, tuple[str, Callable[[str], str]]] = {
    "number": ("number", _number),
    "vat_id": ("supplier's VAT number", lambda written: _number(_code(written))),
    "date": ("date", lambda written: values.day(written).isoformat()),
    "net": ("net amount", _money),
    "vat_rate": ("VAT rate", _decimal),
    "vat": ("VAT amount", _money),
    "gross": ("total", _money),
}
