"""Take e-mails from the queue `invoices` until it is empty: find the invoice in each, check it, and say
whether a person must look at it.

The robot that runs this hands in `arguments`: `suppliers` (objects with `name`, `vat_id`, `iban`). Each item
of the queue has the message's file name as its reference, and as its value `content`: the raw message in
base64, so that the robot may be on any machine.

An invoice with a mistake is a result, not a failure. A business error is an item that holds no message.
"""

from __future__ import annotations

import base64
import binascii
import sys
from typing import Any

import checks
import invoice
import message
from botswain import (  # type: ignore[import-not-found,unused-ignore]
    BusinessError,
    arguments,
    log,
    queue,
    result,
)

QUEUE = "invoices"
WAIT = 2  # seconds for another item, before the work counts as done


def main() -> None:
    suppliers = _suppliers(arguments)
    done = 0
    for item in queue(QUEUE).take(lock="read", wait=WAIT):
        with item:
            found = read(item.reference, item.value, suppliers)
            item.finish(found)
            done += 1
            codes = [problem["code"] for problem in found["problems"]]
            log("message read", name=item.reference, outcome=found["outcome"], problems=codes)
    result({"messages": done})


def read(name: str, value: Any, suppliers: list[dict[str, str]]) -> dict[str, Any]:
    """What becomes of one message."""
    mail = message.read(_content(value))
    found, problems = invoice.find(mail)
    if found is not None:
        problems = checks.check(found, suppliers)
    return {
        "message": name,
        "sender": mail.sender,
        "subject": mail.subject,
        "invoice": found,
        "problems": problems,
        "outcome": "review" if problems else "booked",
    }


def _content(value: Any) -> bytes:
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, str):
        raise BusinessError("value.content is missing: give the raw message in base64")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise BusinessError("value.content is not base64: encode the raw bytes of the .eml file") from None


def _suppliers(given: dict[str, Any]) -> list[dict[str, str]]:
    """The list of suppliers, or the end of the run with a sentence that names what is wrong."""
    suppliers = given.get("suppliers")
    if not isinstance(suppliers, list):
        sys.exit("arguments.suppliers is missing: give a list of objects with name, vat_id and iban")
    for place, supplier in enumerate(suppliers):
        if not isinstance(supplier, dict) or not all(
            isinstance(supplier.get(field), str) for field in ("name", "vat_id", "iban")
        ):
            sys.exit(f"arguments.suppliers[{place}] is incomplete: give name, vat_id and iban as text")
    return suppliers


if __name__ == "__main__":
    main()
