"""Read one e-mail, find the invoice in it, check it, and say whether a person must look at it.

The robot that runs this hands in `arguments`: `name` (the message's file name), `content` (the raw message in
base64, so that the robot may be on any machine) and `suppliers` (objects with `name`, `vat_id`, `iban`).

An invoice with a mistake is a result, not a failure: the run fails only when it could not do its work.
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
    arguments,
    log,
    progress,
    result,
    should_stop,
)


def main() -> None:
    name, content, suppliers = _inputs(arguments)
    progress(10, "reading " + name)
    mail = message.read(content)
    if should_stop():
        log("stopped before the invoice was looked for", name=name)
        return  # a run that was asked to stop, and ends without a result, is reported as Stopped
    progress(50, "looking for the invoice")
    found, problems = invoice.find(mail)
    if found is not None:
        problems = checks.check(found, suppliers)
    outcome = "review" if problems else "booked"
    result(
        {
            "message": name,
            "sender": mail.sender,
            "subject": mail.subject,
            "invoice": found,
            "problems": problems,
            "outcome": outcome,
        }
    )
    log("message read", name=name, outcome=outcome, problems=[problem["code"] for problem in problems])
    progress(100, outcome)


def _inputs(given: dict[str, Any]) -> tuple[str, bytes, list[dict[str, str]]]:
    """The three arguments, or the end of the run with a sentence that names the wrong one."""
    name, content, suppliers = given.get("name"), given.get("content"), given.get("suppliers")
    if not isinstance(name, str) or not name:
        sys.exit("arguments.name is missing: give the message's file name")
    if not isinstance(content, str):
        sys.exit("arguments.content is missing: give the raw message in base64")
    if not isinstance(suppliers, list):
        sys.exit("arguments.suppliers is missing: give a list of objects with name, vat_id and iban")
    for place, supplier in enumerate(suppliers):
        if not isinstance(supplier, dict) or not all(
            isinstance(supplier.get(field), str) for field in ("name", "vat_id", "iban")
        ):
            sys.exit(f"arguments.suppliers[{place}] is incomplete: give name, vat_id and iban as text")
    try:
        return name, base64.b64decode(content, validate=True), suppliers
    except (binascii.Error, ValueError):
        sys.exit("arguments.content is not base64: encode the raw bytes of the .eml file")


if __name__ == "__main__":
    main()
