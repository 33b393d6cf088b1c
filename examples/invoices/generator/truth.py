"""What a reader without fault must find, from what the generator did and from nothing else."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from generator.invoices import Invoice
from generator.letters import Letter


def truth(inbox: dict[str, Letter]) -> dict[str, Any]:
    """`messages` by file name, with outcome, problem codes and the readable invoice, and the `summary`."""
    booked = [letter.invoice for letter in inbox.values() if letter.invoice and not letter.problems]
    problems = Counter(code for letter in inbox.values() for code in letter.problems)
    summary = {
        "messages": len(inbox),
        "booked": len(booked),
        "review": len(inbox) - len(booked),
        "problems": dict(sorted(problems.items())),
        **_totals(booked),
        "suppliers": [
            {"supplier": name, "invoices": len(theirs), **_totals(theirs)}
            for name, theirs in _grouped(booked, "name").items()
        ],
        "vat_rates": [
            {"vat_rate": rate, **_totals(theirs)} for rate, theirs in _grouped(booked, "rate").items()
        ],
    }
    return {"messages": {name: _message(letter) for name, letter in inbox.items()}, "summary": summary}


def _message(letter: Letter) -> dict[str, Any]:
    return {
        "outcome": "review" if letter.problems else "booked",
        "problems": list(letter.problems),
        "invoice": _readable(letter.invoice) if letter.invoice else None,
    }


def _readable(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "vat_id": invoice.supplier.vat_id,
        "iban": invoice.iban,
        "date": invoice.date.isoformat(),
        "net": f"{invoice.net:.2f}",
        "vat_rate": str(invoice.supplier.rate),
        "vat": f"{invoice.vat:.2f}",
        "gross": f"{invoice.gross:.2f}",
    }


def _totals(invoices: list[Invoice]) -> dict[str, str]:
    net = sum((one.net for one in invoices), Decimal(0))
    vat = sum((one.vat for one in invoices), Decimal(0))
    return {"net": f"{net:.2f}", "vat": f"{vat:.2f}", "gross": f"{net + vat:.2f}"}


def _grouped(invoices: list[Invoice], by: str) -> dict[str, list[Invoice]]:
    groups: dict[str, list[Invoice]] = {}
    for invoice in sorted(invoices, key=lambda one: getattr(one.supplier, by)):
        groups.setdefault(str(getattr(invoice.supplier, by)), []).append(invoice)
    return groups
