"""Let jobs in that limits held back, where nobody's end has; let go of permits whose runs are over."""

from __future__ import annotations

from orchestrator.jobs import gate
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    counts = term.run(gate.sweep)
    counts["lines_forgotten"] = term.run(gate.forget_empty_lines)
    return {name: count for name, count in counts.items() if count}
