"""Ask for sessions for unattended robots that are away while jobs wait for them; end those of lost nodes."""

from __future__ import annotations

from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions.waiting import ask_for_waiting_jobs
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    lapsed = term.run(sessions.lapse)
    asked = term.run(lambda tx: ask_for_waiting_jobs(tx, term.parts.run_lease))
    return {name: count for name, count in (("lapsed", lapsed), ("asked", asked)) if count}
