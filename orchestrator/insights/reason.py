"""A reason, as people and programs read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """`code` is stable and for programs, `text` a sentence for people."""

    code: str
    text: str
