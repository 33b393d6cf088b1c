"""The suppliers. Names and numbers are invented; the accounts' check digits are wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from generator.languages import ENGLISH, FRENCH, GERMAN, POLISH, RUSSIAN, SPANISH, Language


@dataclass(frozen=True)
class Channel:
    """How a supplier sends: `layout` is block, wide (both CSV), html, nested (HTML tables in tables), text or
    columns (plain text); `transfer` is 8bit, base64 or quoted-printable."""

    layout: str
    charset: str
    transfer: str
    separator: str = ";"


@dataclass(frozen=True)
class Supplier:
    name: str
    vat_id: str
    iban: str
    rate: Decimal
    prefix: str
    language: Language
    goods: tuple[str, ...]
    channels: tuple[Channel, ...]
    rounds_by_line: bool = False


def _supplier(
    name: str, ids: str, rate: str, prefix: str, language: Language, goods: str, *channels: Channel
) -> Supplier:
    vat_id, iban = ids.split()
    by_line = prefix in ("BR-", "MI/")
    return Supplier(
        name, vat_id, iban, Decimal(rate), prefix, language, tuple(goods.split("|")), channels, by_line
    )


KNOWN = (
    _supplier(
        *("Nordlicht Bürobedarf GmbH", "DE811900417 DE00500105170648489001", "19", "RE-2026-", GERMAN),
        "Kopierpapier A4, weiß|Ordner, grün|Büroklammern",
        *(Channel("block", "utf-8-sig", "base64"), Channel("html", "iso-8859-1", "quoted-printable")),
    ),
    _supplier(
        *("Gebäudereinigung Müller & Söhne KG", "DE264550182 DE00370400440532013002", "19", "R", GERMAN),
        "Unterhaltsreinigung|Fensterreinigung, außen",
        *(Channel("columns", "iso-8859-1", "8bit"), Channel("text", "utf-8", "quoted-printable")),
    ),
    _supplier(
        *("Papeterie Élysée SARL", "FR40303265045 FR0020041010050500013M02603", "20", "F2026/", FRENCH),
        "Cahiers à spirale|Stylos à encre|Étiquettes",
        *(Channel("wide", "iso-8859-1", "quoted-printable"), Channel("html", "utf-8", "base64")),
    ),
    _supplier(
        *("Traiteur du Marché", "FR83404833048 FR0030006000011234567890189", "10", "TM-", FRENCH),
        "Plateaux repas|Café et thé|Pâtisseries",
        *(Channel("text", "iso-8859-1", "quoted-printable"), Channel("nested", "utf-8", "quoted-printable")),
    ),
    _supplier(
        *("Suministros Peñalba S.L.", "ESB84921075 ES0021000418450200051332", "21", "A/26/", SPANISH),
        "Tóner negro|Sillas de oficina|Lámparas",
        *(Channel("block", "iso-8859-1", "base64"), Channel("nested", "iso-8859-1", "8bit")),
    ),
    _supplier(
        *("Mensajería Ibérica S.A.", "ESA58818501 ES0001822370420201593001", "21", "MI/", SPANISH),
        "Envío nacional|Envío a Canarias|Recogida",
        *(Channel("wide", "utf-8", "8bit"), Channel("columns", "utf-8", "base64")),
    ),
    _supplier(
        *("Greenfield Hosting Ltd", "IE6388047V IE00AIBK93115212345678", "23", "GH", ENGLISH),
        "Virtual server, monthly|Backup storage|Domain renewal",
        *(Channel("html", "utf-8", "quoted-printable"), Channel("block", "utf-8", "quoted-printable", ",")),
    ),
    _supplier(
        *("Harbour Coffee Roasters", "IE3628739L IE00BOFI90001710027952", "13.5", "BR-", ENGLISH),
        "Espresso beans 1 kg|Filter coffee 500 g|Grinder service",
        *(Channel("text", "us-ascii", "8bit"), Channel("wide", "utf-8", "base64", ",")),
    ),
    _supplier(
        *("SIA «Балтлогистика»", "LV40003245752 LV00BANK0000435195001", "21", "БЛ-", RUSSIAN),
        "Перевозка груза|Складские услуги|Оформление документов",
        *(Channel("text", "windows-1251", "8bit"), Channel("block", "windows-1251", "base64")),
    ),
    _supplier(
        *("AS Типография Нева", "EE100931558 EE002200221020145685", "24", "ТН/26-", RUSSIAN),
        "Визитные карточки|Печать каталога|Вёрстка",
        *(Channel("html", "windows-1251", "quoted-printable"), Channel("columns", "koi8-r", "base64")),
    ),
    _supplier(
        *("Drukarnia Żuraw Sp. z o.o.", "PL7272445205 PL00109010140000071219812874", "23", "FV/", POLISH),
        "Wizytówki|Ulotki składane|Książki",
        *(Channel("html", "iso-8859-2", "quoted-printable"), Channel("wide", "utf-16", "base64", "\t")),
    ),
    _supplier(
        *("Wózki Łódź S.A.", "PL5260250274 PL00102055581111123456789012", "23", "WL-2026-", POLISH),
        "Przegląd wózka widłowego|Części zamienne",
        *(Channel("nested", "utf-8", "base64"), Channel("block", "windows-1250", "quoted-printable")),
    ),
)

UNKNOWN = (
    _supplier(
        *("Schnelldruck24 GmbH", "DE999123450 DE00120300000012345678", "19", "SD-", GERMAN),
        "Eintrag ins Gewerberegister, jährlich",
        Channel("html", "utf-8", "quoted-printable"),
    ),
    _supplier(
        *("Global Directory Services", "IE9999999X IE00CITI99005112345678", "23", "GDS", ENGLISH),
        "Listing in the business directory",
        Channel("text", "utf-8", "8bit"),
    ),
    _supplier(
        *("Асторпроект", "LV90000000017 LV00HABA0551000000001", "21", "АП-", RUSSIAN),
        "Консультация",
        Channel("text", "windows-1251", "quoted-printable"),
    ),
)
