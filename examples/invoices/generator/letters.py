"""What the office receives: an invoice put into an e-mail as its supplier does, or an e-mail without one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from generator.envelope import Part
from generator.invoices import Invoice
from generator.languages import Language
from generator.layouts import write
from generator.suppliers import Channel


@dataclass(frozen=True)
class Letter:
    """An e-mail before it is bytes, and the truth about it: `invoice` is what can be read in it, if any."""

    sender: tuple[str, str]
    subject: bytes | str
    parts: list[Part]
    invoice: Invoice | None
    problems: tuple[str, ...] = ()


def send(
    invoice: Invoice,
    channel: Channel,
    style: int,
    problems: tuple[str, ...] = (),
    overrides: dict[str, str] | None = None,
) -> Letter:
    """The invoice as an e-mail through one of its supplier's channels."""
    supplier, language = invoice.supplier, invoice.supplier.language
    text = _in_charset(write(invoice, channel, style, overrides or {}), language, channel.charset)
    greeting = language.greeting.replace("\n", "\r\n") + "\r\n\r\n"
    parts = {"html": _page, "nested": _page, "text": _plain, "columns": _plain}.get(channel.layout, _sheet)(
        greeting, text, channel
    )
    sender = (supplier.name, f"billing@{supplier.vat_id.lower()}.example")
    return Letter(sender, f"{language.subject} {invoice.number}", parts, invoice, problems)


def _in_charset(text: str, language: Language, charset: str) -> str:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return text.replace("€", "EUR " if language.code == "en" else "EUR")
    return text


def _plain(greeting: str, text: str, channel: Channel) -> list[Part]:
    return [Part("text/plain", channel.charset, channel.transfer, (greeting + text).encode(channel.charset))]


def _page(greeting: str, text: str, channel: Channel) -> list[Part]:
    body = Part("text/plain", "utf-8", "base64", greeting.encode())
    page = Part("text/html", channel.charset, channel.transfer, text.encode(channel.charset))
    return [body, page] if channel.layout == "html" else [page]


def _sheet(greeting: str, text: str, channel: Channel) -> list[Part]:
    # Excel's own exports carry a mark of their encoding and no declaration.
    marked = channel.charset in ("utf-8-sig", "utf-16")
    content_type = "application/vnd.ms-excel" if marked else "text/csv"
    # Little-endian with its mark, whatever machine this runs on.
    utf16 = channel.charset == "utf-16"
    content = b"\xff\xfe" + text.encode("utf-16-le") if utf16 else text.encode(channel.charset)
    declared = "" if marked else channel.charset
    body = Part("text/plain", "utf-8", "quoted-printable", greeting.encode())
    return [body, Part(content_type, declared, channel.transfer, content, "invoice.csv")]


def declared_as(letter: Letter, charset: str) -> Letter:
    """The same bytes under another charset's name: nothing in it can be trusted."""
    parts = [*letter.parts[:-1], replace(letter.parts[-1], charset=charset)]
    return replace(letter, parts=parts, invoice=None, problems=("broken_encoding",))


def cut_short(letter: Letter) -> Letter:
    """The attachment's base64 lost its last three characters, so that a rest of one is left."""
    parts = [*letter.parts[:-1], replace(letter.parts[-1], cut=3)]
    return replace(letter, parts=parts, invoice=None, problems=("broken_encoding",))


def newsletter() -> Letter:
    # A subject that a spreadsheet would run as a formula, if the review list did not prevent it.
    page = (
        "<table><tr><th>Description</th><th>Unit price</th></tr>"
        "<tr><td>Desk lamp</td><td>&euro;19.90</td></tr></table>"
    )
    part = Part("text/html", "utf-8", "8bit", page.encode())
    return _without(("Office Deals", "news@deals.example"), '=HYPERLINK("http://deals.example")', part)


def reminder() -> Letter:
    text = (
        "Guten Tag,\r\n\r\nleider ist bei uns noch kein Zahlungseingang zu verbuchen.\r\n\r\n"
        "Rechnungsnummer: RE-2025-0815\r\nRechnungsdatum: 02.12.2025\r\nGesamtbetrag: 119,00 EUR\r\n"
    )
    part = Part("text/plain", "iso-8859-1", "quoted-printable", text.encode("iso-8859-1"))
    return _without(("Buchhaltung", "mahnung@nordlicht.example"), "Zahlungserinnerung – letzte Mahnung", part)


def out_of_office() -> Letter:
    text = "Здравствуйте!\r\n\r\nЯ в отпуске до 12 января. По счетам обращайтесь к Марии.\r\n"
    part = Part("text/plain", "koi8-r", "base64", text.encode("koi8-r"))
    return _without(("Игорь Соколов", "igor@neva.example"), "Автоответ: нет на месте", part)


def scan() -> Letter:
    body = Part("text/plain", "utf-8", "8bit", b"Adjuntamos la factura escaneada.\r\n")
    pdf = Part("application/pdf", "", "base64", b"%PDF-1.4\n%scan\n%%EOF\n", "factura.pdf")
    return _without(("Suministros Peñalba S.L.", "oficina@penalba.example"), "Factura escaneada", body, pdf)


def _without(sender: tuple[str, str], subject: str, *parts: Part) -> Letter:
    return Letter(sender, subject, list(parts), None, ("no_invoice",))
