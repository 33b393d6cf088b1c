"""Amounts and dates as people write them in Europe. What can be read in two ways is refused, not guessed."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

_AMOUNT = re.compile(
    r"(?P<sign>[-\u2212]?)"
    r"(?P<whole>[0-9]{1,3}(?P<group>[.,'\u2019 \u00a0\u202f])[0-9]{3}(?:(?P=group)[0-9]{3}){0,2}|[0-9]{1,12})"
    r"(?:(?P<point>[.,])(?P<cents>[0-9]{1,2}))?"
)
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DAY_FIRST = re.compile(r"([0-9]{1,2})[./-]([0-9]{1,2})[./-]([0-9]{4})")

_MONTHS = (
    "january januar janvier enero января stycznia",
    "february februar février febrero февраля lutego",
    "march märz mars marzo марта marca",
    "april avril abril апреля kwietnia",
    "may mai mayo мая maja",
    "june juni juin junio июня czerwca",
    "july juli juillet julio июля lipca",
    "august août agosto августа sierpnia",
    "september septembre septiembre сентября września",
    "october oktober octobre octubre октября października",
    "november novembre noviembre ноября listopada",
    "december dezember décembre diciembre декабря grudnia",
)
_MONTH_OF = {word: place for place, words in enumerate(_MONTHS, 1) for word in words.split()}


def amount(written: str) -> Decimal:
    """Euros, with decimal comma or point: `1.234,56 €`, `EUR 1,234.56`, `1 234,56`.

    ValueError for another currency and for `1.234`, which is one thing in Berlin and another in Dublin."""
    match = _AMOUNT.fullmatch(re.sub(r"€|^\s*EUR|EUR\s*$", "", written).strip())
    if not match or (match["group"] and match["group"] == match["point"]):
        raise ValueError(f"{written!r} is not an amount in EUR")
    if match["group"] in (".", ",") and not match["cents"] and len(match["whole"]) <= len("123.456"):
        raise ValueError(f"{written!r} can be read as thousands and as decimals")
    whole = re.sub(r"[^0-9]", "", match["whole"])
    return Decimal(f"{'-' if match['sign'] else ''}{whole}.{match['cents'] or '0'}")


def day(written: str) -> date:
    """A day: `2026-03-14`, `14.03.2026`, `14/3/2026`, `14 March 2026`, `14 марта 2026 г.`; the day comes
    before the month, as everywhere in Europe. ValueError when it is none."""
    text = written.strip()
    iso, day_first = _ISO.fullmatch(text), _DAY_FIRST.fullmatch(text)
    if iso:
        return date(int(iso[1]), int(iso[2]), int(iso[3]))
    if day_first:
        return date(int(day_first[3]), int(day_first[2]), int(day_first[1]))
    return _in_words(text)


def _in_words(text: str) -> date:
    numbers = [int(number) for number in re.findall(r"[0-9]+", text)]
    words = re.findall(r"[^\W\d_]+", text.casefold())
    months = [_MONTH_OF[word] for word in words if word in _MONTH_OF]
    if len(numbers) != 2 or len(months) != 1:
        raise ValueError(f"{text!r} is not a date")
    return date(numbers[1], months[0], numbers[0])
