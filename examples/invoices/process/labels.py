"""What suppliers call the fields of an invoice, in the languages in which they write."""

from __future__ import annotations

import re
import unicodedata

_RATE = re.compile(r"\(?\s*([0-9]+(?:[.,][0-9]+)?)\s*%\s*\)?")
_LONGEST = 60  # letters; the search in a stranger's page of digits would take its square in steps

_WORDS = {
    "number": "invoice number|rechnungsnummer|numéro de facture|número de factura|номер счёта|numer faktury",
    "vat_id": "vat id|ust-idnr|n° tva|nif-iva|номер ндс|nip",
    "iban": "iban",
    "date": "invoice date|rechnungsdatum|date de facture|fecha de factura|дата счёта|data wystawienia",
    "net": "net amount|nettobetrag|total ht|base imponible|сумма без ндс|wartość netto",
    "vat_rate": "vat rate|mwst-satz|taux de tva|tipo de iva|ставка ндс|stawka vat",
    "vat": "vat amount|vat|mwst-betrag|mwst|montant tva|tva|cuota de iva|iva|сумма ндс|ндс|kwota vat",
    "gross": "total due|gesamtbetrag|total ttc|total factura|итого к оплате|razem brutto",
    "description": "description|bezeichnung|désignation|descripción|наименование|nazwa",
    "quantity": "quantity|menge|quantité|cantidad|количество|ilość",
    "price": "unit price|einzelpreis|prix unitaire|precio|цена|cena",
    "amount": "amount|betrag|montant|importe|сумма|wartość",
}


def field_of(cell: str) -> tuple[str, str]:
    """The field that a label names, and the VAT rate written in it: `MwSt. 19 %` is `("vat", "19")`.

    Both are empty where there is none."""
    if len(cell) > _LONGEST:
        return "", ""
    rate = _RATE.search(cell)
    label = cell.replace(rate.group(0), " ") if rate else cell
    return _FIELDS.get(_plain(label), ""), rate.group(1) if rate else ""


def _plain(label: str) -> str:
    """One spelling for all: no case, no accents, no full stops, single blanks."""
    letters = unicodedata.normalize("NFKD", label.casefold())
    kept = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(kept.replace(".", " ").strip(" :").split())


_FIELDS = {_plain(word): field for field, words in _WORDS.items() for word in words.split("|")}
