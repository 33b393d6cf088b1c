"""What time brings to resources: locks whose date has passed, postponed ones due, deadlines, abandonment."""

from __future__ import annotations

from orchestrator.resources import recovery
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    return term.run(recovery.sweep)
