"""The GUIDs of the embedded cluster's robots, kept here because the server keeps only digests of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Protocol

from orchestrator.cli.data_folder import DataFolder, write_privately


class Robots(Protocol):
    def has_robot(self, name: str) -> bool: ...
    def make_robot(self, name: str, guid: str) -> None: ...


def guids_of(
    names: list[str], folder: DataFolder, server: Robots, say: Callable[[str], None]
) -> dict[str, str]:
    """Name and GUID of these robots; those that the server does not have are made.

    A robot of this name whose GUID is not here is left out, and said.
    """
    path = folder.path / "robots.json"
    try:
        kept: dict[str, str] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        kept = {}
    found = {}
    for name in names:
        if not server.has_robot(name):
            kept.setdefault(name, str(uuid.uuid4()))
            # Before the robot exists, as its GUID cannot be asked for later.
            write_privately(path, json.dumps(kept, indent=1) + "\n")
            server.make_robot(name, kept[name])
        if name in kept:
            found[name] = kept[name]
        else:
            say(f"{name} is not started: the server has it, but its GUID is not in {path}; delete the robot")
    return found
