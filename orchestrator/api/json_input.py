"""Reading JSON that people and programs send: strictly, and nothing that a database would choke on."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from orchestrator.errors import Invalid

# MariaDB refuses JSON nested deeper than 31; what is sent is stored again within the answer to a key.
DEPTH_LIMIT = 28
LARGEST = 2**63 - 1
SMALLEST = -(2**63)


def read_json(body: bytes, place: str = "", *, wide_numbers: bool = False) -> Any:
    """The value. Raises `Invalid` that names the place (within `place`) and says what is wrong there."""
    whole = place or "body"
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise Invalid.field(whole, f"it is not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        at = f"line {error.lineno} column {error.colno}"
        raise Invalid.field(whole, f"it cannot be read as JSON: {error.msg} at {at}") from None
    except RecursionError:
        raise Invalid.field(whole, "it is nested too deeply") from None
    except ValueError as error:
        raise Invalid.field(whole, f"it cannot be read as JSON: {error}") from None
    check_value(value, place, wide_numbers)
    return value


def check_value(value: Any, place: str = "", wide_numbers: bool = False) -> None:
    """Refuse what some database cannot keep: deep nesting, wide integers, NUL, half surrogate pairs."""
    level = [(place, value)]
    for _ in range(DEPTH_LIMIT):
        deeper: list[tuple[str, Any]] = []
        for at, item in level:
            if isinstance(item, str):
                _check_text(at, item)
            elif isinstance(item, int) and not wide_numbers:
                _check_number(at, item)
            elif isinstance(item, dict):
                for key, inner in item.items():
                    _check_text(at, key)
                    deeper.append((f"{at}.{key}" if at else key, inner))
            elif isinstance(item, list):
                deeper += [(f"{at}.{index}" if at else str(index), one) for index, one in enumerate(item)]
        if not deeper:
            return
        level = deeper
    raise Invalid.field(_short(level[0][0]), f"it is nested more than {DEPTH_LIMIT} deep")


def _check_text(place: str, text: str) -> None:
    if text.isascii() and "\x00" not in text:
        return
    if "\x00" in text:
        raise Invalid.field(_short(place), "it holds a NUL character, which no database keeps")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid.field(_short(place), "it holds half of a surrogate pair, which is not text") from None


def _check_number(place: str, number: int) -> None:
    if not SMALLEST <= number <= LARGEST:
        raise Invalid.field(_short(place), "the number is wider than 64 bits")


def _short(place: str) -> str:
    """A place that can be shown: keys are the caller's own, of any length and content."""
    return (place.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode() or "body")[:200]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number
