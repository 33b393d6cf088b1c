"""Write the example's input: inbox/*.eml, suppliers.csv, and truth.json, what a reader must find in them.

    python examples/invoices/generate.py [FOLDER]

The same bytes every time; the files are kept with the example, and a test holds them to this script."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

from generator.envelope import message
from generator.inbox import fill
from generator.letters import Letter
from generator.suppliers import KNOWN
from generator.truth import truth

SEED = 2026
_QUIET_DAY = date(2026, 1, 7)


def files() -> dict[str, bytes]:
    """Every generated file by its path below the example's folder."""
    inbox = {f"{place:03}.eml": letter for place, letter in enumerate(fill(SEED), 1)}
    written = {f"inbox/{name}": _eml(name, letter) for name, letter in inbox.items()}
    written["suppliers.csv"] = _suppliers().encode()
    written["truth.json"] = (json.dumps(truth(inbox), ensure_ascii=False, indent=1) + "\n").encode()
    return written


def _eml(name: str, letter: Letter) -> bytes:
    when = letter.invoice.date if letter.invoice else _QUIET_DAY
    return message(letter.sender, letter.subject, when, name.removesuffix(".eml"), letter.parts)


def _suppliers() -> str:
    rows = ["name,vat_id,iban", *(f'"{one.name}",{one.vat_id},{one.iban}' for one in KNOWN)]
    return "\n".join(rows) + "\n"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    written = files()
    for path, content in written.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    print(f"{len(written) - 2} messages, suppliers.csv and truth.json written to {folder}")


if __name__ == "__main__":
    main()
