"""End the runs of robots that fell silent, and take jobs back from robots that never began them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

from redis import RedisError

from orchestrator.jobs import recovery
from orchestrator.jobs.states import Status
from orchestrator.transaction import Transaction
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    # Each in a transaction of its own: the end of a run locks its job, its run, what they held and, for
    # another attempt, a partition. Two of them in one would keep no order, and keep others waiting.
    counts: Counter[str] = Counter()
    for job in term.run(recovery.lapsed):
        counts += term.run(partial(_end, term=term, job_id=job.id))
    return dict(counts)


def _end(tx: Transaction, term: Term, job_id: int) -> Counter[str]:
    tx.step = "lose"
    counts: Counter[str] = Counter()
    lapsed = recovery.lapsed(tx, job_id)
    beating = _still_beating(term, lapsed)
    for job in lapsed:
        own = replace(tx, tenant_id=job.tenant_id)
        if job.status == Status.PENDING:
            counts["released"] += recovery.release(own, job)
        elif job.guid in beating:
            recovery.extend_lease(own, job.robot_id, job.guid, term.parts.run_lease)
        else:
            seconds = int(term.parts.run_lease.total_seconds())
            sentence = f"The robot fell silent: no heartbeat for {seconds} seconds while it ran the job."
            counts["lost"] += recovery.lose(own, job, "robot_lost", sentence)
    return counts


def _still_beating(term: Term, lapsed: list[Any]) -> set[str]:
    """Jobs whose robots were heard in Redis within the lease. SQL may simply not have been told yet."""
    if not lapsed:
        return set()
    try:
        seen = term.parts.presence.look(job.robot_id for job in lapsed)
    except RedisError:
        return set()
    limit = term.parts.run_lease.total_seconds()
    return {beat.job_guid for beat in seen if beat is not None and beat.seconds_ago < limit}
