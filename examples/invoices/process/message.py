"""An e-mail as the parts that may hold an invoice, the most exact first: CSV, then HTML, then plain text."""

from __future__ import annotations

import codecs
import email
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from typing import Any

_ORDER = {"csv": 0, "html": 1, "text": 2}
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class BrokenEncodingError(Exception):
    """The bytes of a part are not what the message says they are; the text is a sentence for a person."""


@dataclass(frozen=True)
class Part:
    """One part of a message: `kind` is csv, html or text; `charset` is the declared one, or empty."""

    kind: str
    name: str
    charset: str
    raw: bytes
    damage: str = ""

    def text(self) -> str:
        """The part's text, or BrokenEncodingError: a guess would put wrong letters into the ledger unseen."""
        where = self.name or f"{self.kind} body"
        if self.damage:
            raise BrokenEncodingError(f"The {where} arrived damaged ({self.damage}).")
        charset = self._marked() or self.charset or "utf-8"
        try:
            text = self.raw.decode(charset)
        except LookupError:
            raise BrokenEncodingError(
                f"The {where} declares the unknown character set {charset!r}."
            ) from None
        except ValueError:
            raise BrokenEncodingError(f"The {where} says that it is {charset}, and is not.") from None
        if not charset.startswith("utf") and _is_utf8(self.raw):
            raise BrokenEncodingError(f"The {where} declares {charset}, but its letters are UTF-8.")
        return text

    def _marked(self) -> str:
        return next((charset for mark, charset in _MARKS if self.raw.startswith(mark)), "")


@dataclass(frozen=True)
class Mail:
    sender: str
    subject: str
    parts: tuple[Part, ...]
    unread: tuple[str, ...]
    """Names of the attachments that this process cannot read, a PDF for instance."""


def read(raw: bytes) -> Mail:
    """Take a raw message apart. Never raises for a damaged one: the damage stays with its part."""
    mail = email.message_from_bytes(raw)
    parts: list[Part] = []
    unread: list[str] = []
    for piece in mail.walk():
        if piece.is_multipart():
            continue
        name = _decoded(piece.get_filename())
        kind = _kind(piece, name)
        if kind:
            parts.append(_part(piece, kind, name))
        elif name:
            unread.append(name)
    parts.sort(key=lambda part: _ORDER[part.kind])
    return Mail(_decoded(mail["From"]), _decoded(mail["Subject"]), tuple(parts), tuple(unread))


def _kind(piece: Message, name: str) -> str:
    # Mail programs send CSV as text/csv, as an Excel sheet or as a nameless stream: the file name tells.
    content_type = piece.get_content_type()
    if name.lower().endswith((".csv", ".tsv")) or content_type == "text/csv":
        return "csv"
    return {"text/html": "html", "text/plain": "text"}.get(content_type, "")


def _part(piece: Message, kind: str, name: str) -> Part:
    payload: Any = piece.get_payload(decode=True)
    damage = ", ".join(type(defect).__name__ for defect in piece.defects)
    return Part(kind, name, piece.get_content_charset() or "", payload or b"", damage)


def _is_utf8(raw: bytes) -> bool:
    """Whether letters beyond ASCII occur and all are UTF-8: no text in another charset is so by chance."""
    try:
        return not raw.isascii() and bool(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _decoded(header: Any) -> str:
    """A header's text. email.policy.default would do it, but it leaves blanks inside of names that take
    several encoded words, and in some Python versions raises on malformed ones. No reason to fail a run."""
    try:
        text = str(make_header(decode_header(header or "")))
    except (LookupError, ValueError, HeaderParseError):
        text = str(header)
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
