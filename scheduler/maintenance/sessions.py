"""Ask for sessions for unattended robots that are away while jobs wait for them; end those of lost nodes."""

from __future__ import annotations

from collections import Counter
from typing import Any

from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions import waiting
from orchestrator.transaction import Transaction
from scheduler.maintenance.each import each
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    return dict(lapse(term) + ask(term))


def lapse(term: Term) -> Counter[str]:
    def end(tx: Transaction, row: Any) -> Counter[str]:
        return Counter(lapsed=sum(sessions.lapse(tx, session) for session in sessions.silent(tx, row.id)))

    return each(term, term.run(sessions.silent), end)


def ask(term: Term) -> Counter[str]:
    lease = term.parts.run_lease

    def ask_one(tx: Transaction, robot: Any) -> Counter[str]:
        return Counter(asked=waiting.ask(tx, robot, lease))

    return each(term, term.run(lambda tx: waiting.chosen(tx, lease)), ask_one)
