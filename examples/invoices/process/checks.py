"""The checks that one invoice can be put to by itself. Duplicates need all of them: see the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

_CENT = Decimal("0.01")


def check(invoice: dict[str, Any], suppliers: list[dict[str, str]]) -> list[dict[str, str]]:
    """What a person must look at, as `code` and `text`; empty when the invoice can be booked.

    Sets the invoice's `supplier` to the name in the list of suppliers, or to an empty one."""
    found = [*_supplier(invoice, suppliers), *_vat(invoice), *_totals(invoice)]
    return [{"code": code, "text": text} for code, text in found]


def _supplier(invoice: dict[str, Any], suppliers: list[dict[str, str]]) -> list[tuple[str, str]]:
    known = next((one for one in suppliers if one["vat_id"] == invoice["vat_id"]), None)
    invoice["supplier"] = known["name"] if known else ""
    if known is None:
        return [("unknown_supplier", f"No supplier has the VAT number {invoice['vat_id']}.")]
    if invoice["iban"] and invoice["iban"] != known["iban"]:
        # The oldest trick of invoice fraud: a true invoice with another account on it.
        text = f"The invoice asks for payment to {invoice['iban']}, but {known['name']} has {known['iban']}."
        return [("iban_mismatch", f"{text} Ask them by telephone.")]
    return []


def _vat(invoice: dict[str, Any]) -> list[tuple[str, str]]:
    net, rate, vat = (Decimal(invoice[field]) for field in ("net", "vat_rate", "vat"))
    expected = (net * rate / 100).quantize(_CENT)
    # Who rounds the VAT of each line is right, too, and may be off by half a cent a line.
    if abs(expected - vat) <= _CENT * max(1, len(invoice["lines"])):
        return []
    return [("vat_mismatch", f"{rate} % of {net} is {expected}, but the invoice says {vat}.")]


def _totals(invoice: dict[str, Any]) -> list[tuple[str, str]]:
    net, vat, gross = (Decimal(invoice[field]) for field in ("net", "vat", "gross"))
    lines = sum((Decimal(line["amount"]) for line in invoice["lines"]), Decimal(0))
    if invoice["lines"] and lines != net:
        return [("total_mismatch", f"The lines add up to {lines}, but the net amount says {net}.")]
    if net + vat != gross:
        return [("total_mismatch", f"{net} and {vat} make {net + vat}, but the invoice says {gross}.")]
    return []
