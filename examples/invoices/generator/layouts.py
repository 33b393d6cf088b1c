"""An invoice as CSV, HTML or plain text, in its supplier's language."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable

from generator.invoices import Invoice
from generator.suppliers import Channel

Rows = list[tuple[str, ...]]
_LINE = ("description", "quantity", "price", "amount")


def write(invoice: Invoice, channel: Channel, style: int, overrides: dict[str, str]) -> str:
    """The text of an invoice. `style` varies date format and tax label; `overrides` writes a field otherwise,
    or, with an empty text, leaves it out."""
    fields = _fields(invoice, style, money=channel.layout not in ("block", "wide"))
    for field, written in overrides.items():
        label = invoice.supplier.language.label(field)
        fields = [(label, written) if row[0] == label else row for row in fields]
    return _LAYOUTS[channel.layout]([row for row in fields if row[1]], _lines(invoice), channel)


def _fields(invoice: Invoice, style: int, money: bool) -> Rows:
    supplier, language = invoice.supplier, invoice.supplier.language
    write_amount = language.money if money else language.number
    rate = f"{supplier.rate}".replace(".", language.point)
    names = ("number", "supplier", "vat_id", "iban", "date", "net")
    day = language.day(invoice.date, language.dates[style // 2 % len(language.dates)])
    texts = (
        *(invoice.number, supplier.name, supplier.vat_id, _in_groups(invoice.iban)),
        *(day, write_amount(invoice.net)),
    )
    rows: Rows = [(language.label(name), text) for name, text in zip(names, texts, strict=True)]
    if style % 2:
        rows += [(f"{language.tax} {rate} %", write_amount(invoice.vat))]
    else:
        rows += [(language.label("vat_rate"), f"{rate} %")]
        rows += [(language.label("vat"), write_amount(invoice.vat))]
    return [*rows, (language.label("gross"), write_amount(invoice.gross))]


def _lines(invoice: Invoice) -> Rows:
    language = invoice.supplier.language
    heading = tuple(language.label(field) for field in _LINE)
    return [heading] + [
        (line.description, str(line.quantity), language.number(line.price), language.number(line.amount))
        for line in invoice.lines
    ]


def _in_groups(iban: str) -> str:
    return " ".join(iban[place : place + 4] for place in range(0, len(iban), 4))


def _block(fields: Rows, lines: Rows, channel: Channel) -> str:
    return _csv([*fields[:5], (), *lines, (), *fields[5:]], channel.separator)


def _wide(fields: Rows, lines: Rows, channel: Channel) -> str:
    heading = tuple(label for label, _ in fields) + lines[0]
    values = tuple(value for _, value in fields)
    return _csv([heading, *(values + line for line in lines[1:])], channel.separator)


def _csv(rows: Iterable[tuple[str, ...]], separator: str) -> str:
    return "".join(separator.join(_quoted(cell, separator) for cell in row) + "\r\n" for row in rows)


def _quoted(cell: str, separator: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if separator in cell or '"' in cell else cell


def _html(fields: Rows, lines: Rows, channel: Channel) -> str:
    rows = [f"<tr><th>{_safe(label)}:</th><td colspan=3>{_safe(value)}</td></tr>" for label, value in fields]
    items = ["<tr>" + "".join(f"<td>{_safe(cell)}</td>" for cell in line) + "</tr>" for line in lines]
    table = "\r\n".join(["<table border=1>", *rows[:5], *items, *rows[5:], "</table>"])
    return f"<html><head><style>td {{ padding: 2px }}</style></head><body>\r\n{table}\r\n</body></html>\r\n"


def _nested(fields: Rows, lines: Rows, channel: Channel) -> str:
    """As mail programs make it: a table for the frame, tables inside, and cells that nobody closes."""
    rows = "\r\n".join(f"<tr><td><b>{_safe(label)}</b><td>{_safe(value)}" for label, value in fields)
    items = "\r\n".join("<tr>" + "".join(f"<td>{_safe(cell)}" for cell in line) for line in lines)
    return (
        f"<table width=600><tr><td>\r\n<table>{rows}</table>\r\n</td></tr>\r\n<tr><td>"
        f"<table>{items}</table></td></tr></table>\r\n"
    )


def _safe(text: str) -> str:
    return html.escape(text).replace("\u00a0", "&nbsp;").replace("€", "&euro;")


def _text(fields: Rows, lines: Rows, channel: Channel) -> str:
    heads = [f"{label}: {value}" for label, value in fields]
    items = [" | ".join(line) for line in lines]
    return "\r\n".join([*heads[:5], "", *items, "", *heads[5:], ""])


def _columns(fields: Rows, lines: Rows, channel: Channel) -> str:
    heads = [f"{label} {'.' * (28 - len(label))} {value}" for label, value in fields]
    items = [f"{line[0]:<34}  {line[1]:>8}  {line[2]:>12}  {line[3]:>12}" for line in lines]
    return "\r\n".join([*heads[:5], "", *items, "", *heads[5:], ""])


_LAYOUTS: dict[str, Callable[[Rows, Rows, Channel], str]] = {
    "block": _block,
    "wide": _wide,
    "html": _html,
    "nested": _nested,
    "text": _text,
    "columns": _columns,
}
