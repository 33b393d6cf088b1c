"""The form in which trouble is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """`code` is stable, for programs; `sentence` says the fact and what to do."""

    code: str
    sentence: str
