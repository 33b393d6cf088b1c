"""The GUIDs of the embedded cluster's robots: the server shows each only once, so they are kept here."""

from __future__ import annotations

import json
from collections.abc import Callable

from orchestrator.cli.data_folder import DataFolder, write_privately


def guids_of(
    names: list[str], folder: DataFolder, make: Callable[[str], str], say: Callable[[str], None]
) -> dict[str, str]:
    """Name and GUID of these robots; `make(name)` makes one that the server does not have.

    A name whose GUID is neither here nor to be had is left out, and said.
    """
    path = folder.path / "robots.json"
    try:
        kept: dict[str, str] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        kept = {}
    found = {}
    for name in names:
        made = make(name)
        if made:
            kept[name] = made
            write_privately(path, json.dumps(kept, indent=1) + "\n")
        if name in kept:
            found[name] = kept[name]
        else:
            say(f"{name} is not started: the server has it, but its GUID is not in {path}; delete the robot")
    return found
