"""The commands that the owner of a machine allows activities to run there, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS, LONGEST = 60.0, 3600.0


@dataclass(frozen=True)
class AllowedCommand:
    argv: tuple[str, ...]
    timeout: float = SECONDS


def read_commands(path: Path) -> Mapping[str, AllowedCommand]:
    """`{"name": {"argv": ["program", "…"], "timeout": 60}}`. Raises `ValueError` with a sentence."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} must hold one object, of commands by name")
    return {name: _command(f"{path}: {name}", one) for name, one in value.items()}


def _command(place: str, value: Any) -> AllowedCommand:
    if not isinstance(value, dict) or not set(value) <= {"argv", "timeout"}:
        raise ValueError(f"{place} must be an object with argv and, if wanted, timeout")
    argv, timeout = value.get("argv"), value.get("timeout", SECONDS)
    if not isinstance(argv, list) or not argv or not all(_is_word(word) for word in argv) or not argv[0]:
        raise ValueError(f"{place}.argv must be a list of texts, the program first")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST:
        raise ValueError(f"{place}.timeout must be a number of seconds, above 0 and up to {LONGEST:.0f}")
    return AllowedCommand(tuple(argv), float(timeout))


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and "\x00" not in value
