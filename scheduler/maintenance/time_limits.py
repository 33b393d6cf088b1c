"""Runs beyond their time limit are told to abort; those that do not answer in time end Failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from orchestrator.jobs import recovery
from orchestrator.transaction import Transaction
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    grace = timedelta(seconds=term.parts.config.abort_grace_seconds)

    def end(tx: Transaction) -> dict[str, int]:
        moved = [
            recovery.time_out(replace(tx, tenant_id=job.tenant_id), job, grace)
            for job in recovery.overdue(tx)
        ]
        return {"timed_out": sum(moved)} if any(moved) else {}

    return term.run(end)
