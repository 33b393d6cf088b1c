"""Runs beyond their time limit are told to abort; those that do not answer in time end Failed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from orchestrator.jobs import recovery
from orchestrator.transaction import Transaction
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    grace = timedelta(seconds=term.parts.config.abort_grace_seconds)
    # Each in a transaction of its own, like the runs that are lost.
    overdue = term.run(recovery.overdue)
    moved = sum(term.run(partial(_end, job_id=job.id, grace=grace)) for job in overdue)
    return {"timed_out": moved} if moved else {}


def _end(tx: Transaction, job_id: int, grace: timedelta) -> int:
    return sum(
        recovery.time_out(replace(tx, tenant_id=job.tenant_id), job, grace)
        for job in recovery.overdue(tx, job_id)
    )
