"""Tell people of runs whose robots are heard and whose progress stands still; end those that are to end."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from orchestrator.jobs import stalls
from orchestrator.transaction import Transaction
from scheduler.maintenance.each import each
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    grace = timedelta(seconds=term.parts.config.abort_grace_seconds)

    def look(tx: Transaction, row: Any) -> Counter[str]:
        found = stalls.suspects(tx, row.id)
        return Counter("stalled" if stalls.judge(tx, job, grace) else "going_on" for job in found)

    return dict(each(term, term.run(stalls.suspects), look))
