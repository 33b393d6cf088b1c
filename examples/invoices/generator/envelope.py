"""E-mails as bytes, written by hand: the standard library folds headers differently from one Python version
to the next, and these files must come out the same everywhere."""

from __future__ import annotations

import base64
import quopri
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Part:
    """`charset` is what the part declares, empty for nothing; `content` is what it really holds."""

    content_type: str
    charset: str
    transfer: str
    content: bytes
    filename: str = ""
    cut: int = 0
    """How many characters a bad gateway removed from the end of the base64."""

    def write(self) -> bytes:
        declared = f"; charset={self.charset}" if self.charset else ""
        head = [f"Content-Type: {self.content_type}{declared}", f"Content-Transfer-Encoding: {self.transfer}"]
        if self.filename:
            head.append(f'Content-Disposition: attachment; filename="{encoded(self.filename)}"')
        return "\r\n".join(head).encode("ascii") + b"\r\n\r\n" + self._body() + b"\r\n"

    def _body(self) -> bytes:
        if self.transfer == "base64":
            written = base64.encodebytes(self.content).replace(b"\n", b"\r\n").rstrip()
            return written[: len(written) - self.cut]
        if self.transfer == "quoted-printable":
            return quopri.encodestring(self.content)
        return self.content


def encoded(text: str) -> str:
    """A header's text as RFC 2047 wants it: as it is, or in one encoded word for each 12 letters."""
    if text.isascii():
        return text
    chunks = [text[start : start + 12] for start in range(0, len(text), 12)]
    words = [f"=?utf-8?B?{base64.b64encode(chunk.encode()).decode()}?=" for chunk in chunks]
    return "\r\n ".join(words)


def message(sender: tuple[str, str], subject: bytes | str, when: date, name: str, parts: list[Part]) -> bytes:
    """The .eml file. One part is the message itself; of several, the first is the body."""
    raw_subject = subject if isinstance(subject, bytes) else encoded(subject).encode("ascii")
    head = [
        f"From: {encoded(sender[0])}\r\n <{sender[1]}>".encode("ascii"),
        b"To: Accounts payable <invoices@office.example>",
        b"Subject: " + raw_subject,
        f"Date: {when:%d} {_MONTHS[when.month - 1]} {when.year} 09:12:00 +0000".encode("ascii"),
        f"Message-ID: <{name}@mail.example>".encode("ascii"),
        b"MIME-Version: 1.0",
    ]
    return b"\r\n".join(head) + b"\r\n" + (parts[0].write() if len(parts) == 1 else _mixed(name, parts))


def _mixed(name: str, parts: list[Part]) -> bytes:
    # Text and HTML that say the same are alternatives; with an attachment they are a mixture.
    kind = "mixed" if any(part.filename for part in parts) else "alternative"
    boundary = f"=_{name}_{kind}".encode("ascii")
    head = b"Content-Type: multipart/" + kind.encode() + b'; boundary="' + boundary + b'"\r\n\r\n'
    body = b"".join(b"--" + boundary + b"\r\n" + part.write() for part in parts)
    return head + body + b"--" + boundary + b"--\r\n"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
