"""The 60 letters of the inbox: which are right, which are wrong and how, and in which order they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from generator import letters
from generator.invoices import Invoice, draw, with_other_account, with_wrong_total, with_wrong_vat
from generator.letters import Letter, send
from generator.suppliers import KNOWN, UNKNOWN, Supplier

FIRST_ARE_GOOD = 12  # so that a later message has something to repeat


@dataclass
class Inbox:
    """Draws the letters one after another; `booked` are the invoices of the good ones so far, `sent` counts
    what each supplier sent."""

    rng: Random
    letters: list[Letter] = field(default_factory=list)
    booked: list[Invoice] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)

    def receive(self, kind: str) -> None:
        letter = _KINDS[kind](self)
        if letter.invoice and not letter.problems:
            self.booked.append(letter.invoice)
        self.letters.append(letter)

    def draw(self, supplier: Supplier | None = None) -> Invoice:
        # In turn rather than by chance, here and in send(): every layout and every charset comes up.
        return draw(self.rng, supplier or KNOWN[len(self.letters) % len(KNOWN)], len(self.letters))

    def send(self, invoice: Invoice, *problems: str, **overrides: str) -> Letter:
        supplier = invoice.supplier
        channel = supplier.channels[self.sent[supplier.name] % len(supplier.channels)]
        self.sent[supplier.name] += 1
        return send(invoice, channel, self.rng.randrange(1000), problems, overrides)


def fill(seed: int) -> list[Letter]:
    """All letters, in the order in which they came: the same for the same seed."""
    rng = Random(seed)
    inbox = Inbox(rng)
    rest = [kind for kind, count in _COUNTS.items() for _ in range(count)]
    rng.shuffle(rest)
    for kind in ["good"] * FIRST_ARE_GOOD + rest:
        inbox.receive(kind)
    return inbox.letters


def _good(inbox: Inbox) -> Letter:
    return inbox.send(inbox.draw())


def _odd_subject(inbox: Inbox) -> Letter:
    """Raw Cyrillic bytes in the subject, which no standard allows; the invoice is fine."""
    return replace(_good(inbox), subject="Счет".encode("windows-1251"))


def _same_number(inbox: Inbox) -> Letter:
    """Another supplier's invoice with a number that we have seen: not a duplicate."""
    invoice = inbox.draw()
    others = [one.number for one in inbox.booked if one.supplier is not invoice.supplier]
    charset_safe = [number for number in others if number.isascii()]
    return inbox.send(replace(invoice, number=inbox.rng.choice(charset_safe)))


def _duplicate(inbox: Inbox) -> Letter:
    """Sent a second time, maybe in another layout, with the number spelt a little differently."""
    again = inbox.rng.choice(inbox.booked)
    return inbox.send(replace(again, number=again.number.lower()), "duplicate_number")


def _unknown(inbox: Inbox) -> Letter:
    return inbox.send(inbox.draw(inbox.rng.choice(UNKNOWN)), "unknown_supplier")


def _unknown_wrong_vat(inbox: Inbox) -> Letter:
    invoice = with_wrong_vat(inbox.draw(UNKNOWN[1]))
    return inbox.send(invoice, "unknown_supplier", "vat_mismatch")


def _from(inbox: Inbox, prefix: str, channel: int) -> Letter:
    supplier = next(one for one in KNOWN if one.prefix == prefix)
    return send(inbox.draw(supplier), supplier.channels[channel], inbox.rng.randrange(1000))


def _unreadable(inbox: Inbox, **overrides: str) -> Letter:
    letter = inbox.send(inbox.draw(), "unreadable_field", **overrides)
    return replace(letter, invoice=None)


_KINDS: dict[str, Callable[[Inbox], Letter]] = {
    "good": _good,
    "odd subject": _odd_subject,
    "same number, other supplier": _same_number,
    "wrong VAT": lambda inbox: inbox.send(with_wrong_vat(inbox.draw()), "vat_mismatch"),
    "wrong total": lambda inbox: inbox.send(with_wrong_total(inbox.draw()), "total_mismatch"),
    "other account": lambda inbox: inbox.send(with_other_account(inbox.draw()), "iban_mismatch"),
    "unknown supplier": _unknown,
    "unknown supplier, wrong VAT": _unknown_wrong_vat,
    "sent twice": _duplicate,
    "windows-1251 that says utf-8": lambda inbox: letters.declared_as(_from(inbox, "БЛ-", 0), "utf-8"),
    "utf-8 that says iso-8859-1": lambda inbox: letters.declared_as(_from(inbox, "TM-", 1), "iso-8859-1"),
    "charset of nobody": lambda inbox: letters.declared_as(_from(inbox, "F2026/", 0), "x-office"),
    "base64 cut short": lambda inbox: letters.cut_short(_from(inbox, "A/26/", 0)),
    "month before day": lambda inbox: _unreadable(inbox, date="03/25/2026"),
    "no total": lambda inbox: _unreadable(inbox, gross=""),
    "newsletter": lambda inbox: letters.newsletter(),
    "reminder": lambda inbox: letters.reminder(),
    "out of office": lambda inbox: letters.out_of_office(),
    "scan": lambda inbox: letters.scan(),
}

_COUNTS = {
    **dict.fromkeys(_KINDS, 1),
    "good": 23,
    "wrong VAT": 3,
    "wrong total": 2,
    "unknown supplier": 3,
    "sent twice": 3,
}
"""How many of each kind come after the first good ones."""
