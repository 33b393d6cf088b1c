"""Hold the marks of lines in Redis against SQL: set those that were lost, clear those that are wrong."""

from __future__ import annotations

from redis import RedisError

from orchestrator.jobs import recovery
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    presence = term.parts.presence
    try:
        marked = presence.marked_lines()  # before the look at SQL: a mark that changes meanwhile stays
        waiting = set(term.run(recovery.lines_with_jobs))
        missing, wrong = sorted(waiting - marked.keys()), sorted(marked.keys() - waiting)
        if missing:
            presence.mark_lines(missing)
        if wrong:
            presence.clear_lines(wrong, [marked[line] for line in wrong])
    except RedisError:
        return {}
    counts = {"marked": len(missing), "cleared": len(wrong)}
    return {name: count for name, count in counts.items() if count}
