"""The ledger out of the results of all runs, and the list of what a person must look at."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

Result = dict[str, Any]
"""What one run reports: message, sender, subject, invoice, problems, outcome."""

_LEDGER = ("message", "date", "supplier", "vat_id", "number", "net", "vat_rate", "vat", "gross", "currency")
_REVIEW = ("message", "sender", "subject", "number", "gross", "reason")


@dataclass(frozen=True)
class Ledger:
    """The results by what became of them, in the order of the messages' names."""

    booked: tuple[Result, ...]
    review: tuple[Result, ...]

    def summary(self) -> dict[str, Any]:
        """Counts, problems by code, and totals as text: of all, by supplier, by VAT rate."""
        invoices = [result["invoice"] for result in self.booked]
        problems = Counter(problem["code"] for result in self.review for problem in result["problems"])
        by_supplier = _grouped(sorted(invoices, key=lambda one: str(one["supplier"])), "supplier")
        by_rate = _grouped(sorted(invoices, key=lambda one: Decimal(one["vat_rate"])), "vat_rate")
        return {
            "messages": len(self.booked) + len(self.review),
            "booked": len(self.booked),
            "review": len(self.review),
            "problems": dict(sorted(problems.items())),
            **_totals(invoices),
            "suppliers": [
                {"supplier": name, "invoices": len(theirs), **_totals(theirs)}
                for name, theirs in by_supplier.items()
            ],
            "vat_rates": [{"vat_rate": rate, **_totals(theirs)} for rate, theirs in by_rate.items()],
        }

    def write(self, folder: Path) -> None:
        """ledger.csv and review.csv, made for spreadsheets: UTF-8 with its mark."""
        folder.mkdir(parents=True, exist_ok=True)
        entries = [{**result["invoice"], "message": result["message"]} for result in self.booked]
        _write_csv(folder / "ledger.csv", _LEDGER, entries)
        _write_csv(folder / "review.csv", _REVIEW, [_to_look_at(result) for result in self.review])


def build(results: Iterable[Result]) -> Ledger:
    """Merge the results of all runs, and change none of them. An invoice number that its supplier has used in
    an earlier message makes the later one a case for review, whatever became of the first: it may be its
    correction."""
    booked: list[Result] = []
    review: list[Result] = []
    first_seen: dict[tuple[str, str], str] = {}
    for result in sorted(results, key=lambda one: str(one["message"])):
        problems = [*result["problems"], *_duplicate(result, first_seen)]
        checked = {**result, "problems": problems, "outcome": "review" if problems else "booked"}
        (review if problems else booked).append(checked)
    return Ledger(tuple(booked), tuple(review))


def _duplicate(result: Result, first_seen: dict[tuple[str, str], str]) -> list[dict[str, str]]:
    invoice = result["invoice"]
    if invoice is None:
        return []
    key = (invoice["vat_id"], "".join(invoice["number"].casefold().split()))
    first = first_seen.setdefault(key, result["message"])
    if first == result["message"]:
        return []
    text = f"Invoice {invoice['number']} of this supplier came already in message {first}."
    return [{"code": "duplicate_number", "text": text}]


def _to_look_at(result: Result) -> dict[str, str]:
    invoice = result["invoice"] or {"number": "", "gross": ""}
    reason = " ".join(problem["text"] for problem in result["problems"])
    return {**result, "number": invoice["number"], "gross": invoice["gross"], "reason": reason}


def _totals(invoices: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {
        field: f"{sum((Decimal(one[field]) for one in invoices), Decimal(0)):.2f}"
        for field in ("net", "vat", "gross")
    }


def _grouped(invoices: Iterable[dict[str, Any]], by: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for invoice in invoices:
        groups.setdefault(invoice[by], []).append(invoice)
    return groups


def _write_csv(path: Path, columns: Sequence[str], entries: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for entry in entries:
            writer.writerow([_harmless(str(entry[column])) for column in columns])


def _harmless(cell: str) -> str:
    """Subjects and numbers come from strangers, and a spreadsheet runs what begins like a formula."""
    if not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
