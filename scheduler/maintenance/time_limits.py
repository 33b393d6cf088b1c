"""Runs beyond their time limit are told to abort; those that do not answer in time end Failed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from orchestrator.jobs import recovery
from orchestrator.transaction import Transaction
from scheduler.maintenance.each import each
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    grace = timedelta(seconds=term.parts.config.abort_grace_seconds)

    def end(tx: Transaction, row: Any) -> Counter[str]:
        ended = (recovery.time_out(tx, job, grace) for job in recovery.overdue(tx, row.id))
        return Counter(timed_out=sum(ended))

    return dict(each(term, term.run(recovery.overdue), end))
