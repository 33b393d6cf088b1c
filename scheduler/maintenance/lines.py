"""Mark in Redis the lines in which jobs wait: makes good a mark that was never set, or was lost."""

from __future__ import annotations

from redis import RedisError

from orchestrator.jobs import recovery
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    waiting = term.run(recovery.lines_with_jobs)
    try:
        marks = term.parts.presence.line_marks(waiting) if waiting else []
        missing = [line for line, mark in zip(waiting, marks, strict=True) if not mark]
        if missing:
            term.parts.presence.mark_lines(missing)
    except RedisError:
        return {}
    return {"marked": len(missing)} if missing else {}
