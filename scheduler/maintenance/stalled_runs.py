"""Tell people of runs whose robots are heard and whose progress stands still; end those that are to end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from orchestrator.jobs import stalls
from orchestrator.transaction import Transaction
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    grace = timedelta(seconds=term.parts.config.abort_grace_seconds)

    def look(tx: Transaction) -> dict[str, int]:
        judged = [
            stalls.judge(replace(tx, tenant_id=job.tenant_id), job, grace) for job in stalls.suspects(tx)
        ]
        return {name: count for name, count in _counts(judged).items() if count}

    return term.run(look)


def _counts(judged: list[bool]) -> dict[str, int]:
    return {"stalled": sum(judged), "going_on": len(judged) - sum(judged)}
