"""Invoices that are right, and what can be wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random

from generator.suppliers import Supplier

_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Line:
    description: str
    quantity: int
    price: Decimal

    @property
    def amount(self) -> Decimal:
        return self.quantity * self.price


@dataclass(frozen=True)
class Invoice:
    supplier: Supplier
    number: str
    iban: str
    date: date
    lines: tuple[Line, ...]
    net: Decimal
    vat: Decimal
    gross: Decimal


def draw(rng: Random, supplier: Supplier, sequence: int) -> Invoice:
    """An invoice that adds up, from January to March 2026."""
    lines = tuple(
        Line(rng.choice(supplier.goods), rng.randint(1, 12), Decimal(rng.randint(350, 48_000)) / 100)
        for _ in range(rng.randint(1, 4))
    )
    net = sum((line.amount for line in lines), Decimal(0))
    taxed = [line.amount for line in lines] if supplier.rounds_by_line else [net]
    vat = sum((_tax(amount, supplier.rate) for amount in taxed), Decimal(0))
    when = date(2026, 1, 5) + timedelta(days=rng.randrange(80))
    number = f"{supplier.prefix}{1000 + sequence}"
    return Invoice(supplier, number, supplier.iban, when, lines, net, vat, net + vat)


def _tax(amount: Decimal, rate: Decimal) -> Decimal:
    return (amount * rate / 100).quantize(_CENT, ROUND_HALF_UP)


def with_wrong_vat(invoice: Invoice) -> Invoice:
    """The total fits the VAT, but the VAT is not what the rate makes of the net amount."""
    vat = invoice.vat + 10
    return replace(invoice, vat=vat, gross=invoice.net + vat)


def with_wrong_total(invoice: Invoice) -> Invoice:
    return replace(invoice, gross=invoice.gross + Decimal("9.00"))


def with_other_account(invoice: Invoice) -> Invoice:
    return replace(invoice, iban="LT003250011122334455")
