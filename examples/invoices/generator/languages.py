"""How an invoice is written in each language: labels, amounts, dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Language:
    """`labels` in the order of LABELS; `dates` are patterns with y, m, d, dd, mm and month."""

    code: str
    labels: tuple[str, ...]
    tax: str
    grouping: str
    point: str
    months: str
    dates: tuple[str, ...]
    subject: str
    greeting: str

    def label(self, field: str) -> str:
        return self.labels[LABELS.index(field)]

    def number(self, value: Decimal) -> str:
        return f"{value:,.2f}".translate({ord(","): self.grouping, ord("."): self.point})

    def money(self, value: Decimal) -> str:
        return f"€{self.number(value)}" if self.code == "en" else f"{self.number(value)} €"

    def day(self, when: date, pattern: str) -> str:
        month = self.months.split()[when.month - 1]
        return pattern.format(y=when.year, m=f"{when.month:02}", d=when.day, dd=f"{when.day:02}", month=month)


LABELS = (
    *("number", "supplier", "vat_id", "iban", "date", "net", "vat_rate", "vat", "gross"),
    *("description", "quantity", "price", "amount"),
)

ENGLISH = Language(
    code="en",
    labels=(
        *(
            "Invoice number",
            "Supplier",
            "VAT ID",
            "IBAN",
            "Invoice date",
            "Net amount",
            "VAT rate",
            "VAT amount",
        ),
        *("Total due", "Description", "Quantity", "Unit price", "Amount"),
    ),
    tax="VAT",
    grouping=",",
    point=".",
    months="January February March April May June July August September October November December",
    dates=("{d} {month} {y}", "{month} {d}, {y}", "{dd}/{m}/{y}", "{y}-{m}-{dd}"),
    subject="Invoice",
    greeting="Hello,\n\nplease find our invoice below or attached.",
)
GERMAN = Language(
    code="de",
    labels=(
        *("Rechnungsnummer", "Lieferant", "USt-IdNr.", "IBAN", "Rechnungsdatum", "Nettobetrag", "MwSt-Satz"),
        *("MwSt-Betrag", "Gesamtbetrag", "Bezeichnung", "Menge", "Einzelpreis", "Betrag"),
    ),
    tax="MwSt.",
    grouping=".",
    point=",",
    months="Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    dates=("{dd}.{m}.{y}", "{d}. {month} {y}", "{y}-{m}-{dd}"),
    subject="Rechnung für Ihre Buchhaltung",
    greeting="Guten Tag,\n\nanbei erhalten Sie unsere Rechnung. Mit freundlichen Grüßen",
)
FRENCH = Language(
    code="fr",
    labels=(
        *("Numéro de facture", "Fournisseur", "N° TVA", "IBAN", "Date de facture", "Total HT", "Taux de TVA"),
        *("Montant TVA", "Total TTC", "Désignation", "Quantité", "Prix unitaire", "Montant"),
    ),
    tax="TVA",
    grouping="\u00a0",
    point=",",
    months="janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    dates=("{dd}/{m}/{y}", "{d} {month} {y}"),
    subject="Votre facture à régler",
    greeting="Bonjour,\n\nveuillez trouver notre facture, payable à réception.",
)
SPANISH = Language(
    code="es",
    labels=(
        *("Número de factura", "Proveedor", "NIF-IVA", "IBAN", "Fecha de factura", "Base imponible"),
        *("Tipo de IVA", "Cuota de IVA", "Total factura", "Descripción", "Cantidad", "Precio", "Importe"),
    ),
    tax="IVA",
    grouping=".",
    point=",",
    months="enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    dates=("{d} de {month} de {y}", "{dd}/{m}/{y}", "{dd}-{m}-{y}"),
    subject="Factura del envío",
    greeting="Buenos días:\n\nles enviamos nuestra factura. ¡Gracias por su confianza!",
)
RUSSIAN = Language(
    code="ru",
    labels=(
        *("Номер счёта", "Поставщик", "Номер НДС", "IBAN", "Дата счёта", "Сумма без НДС", "Ставка НДС"),
        *("Сумма НДС", "Итого к оплате", "Наименование", "Количество", "Цена", "Сумма"),
    ),
    tax="НДС",
    grouping="\u00a0",
    point=",",
    months="января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    dates=("{dd}.{m}.{y}", "{d} {month} {y} г."),
    subject="Счёт на оплату",
    greeting="Добрый день!\n\nНаправляем вам счёт за оказанные услуги.",
)
POLISH = Language(
    code="pl",
    labels=(
        *("Numer faktury", "Sprzedawca", "NIP", "IBAN", "Data wystawienia", "Wartość netto", "Stawka VAT"),
        *("Kwota VAT", "Razem brutto", "Nazwa", "Ilość", "Cena", "Wartość"),
    ),
    tax="VAT",
    grouping="\u00a0",
    point=",",
    months="stycznia lutego marca kwietnia maja czerwca "
    "lipca sierpnia września października listopada grudnia",
    dates=("{dd}.{m}.{y}", "{d} {month} {y}", "{y}-{m}-{dd}"),
    subject="Faktura do zapłaty",
    greeting="Dzień dobry,\n\nprzesyłamy fakturę. Życzymy miłego dnia!",
)
