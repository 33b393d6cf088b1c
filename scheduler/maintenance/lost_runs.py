"""End the runs of robots that fell silent, and take jobs back from robots that never began them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from redis import RedisError

from orchestrator.jobs import recovery
from orchestrator.jobs.states import Status
from orchestrator.transaction import Transaction
from scheduler.maintenance.each import each
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    return dict(each(term, term.run(recovery.lapsed), partial(_end, term), step="lose"))


def _end(term: Term, tx: Transaction, row: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    lapsed = recovery.lapsed(tx, row.id)
    beating = _still_beating(term, lapsed)
    for job in lapsed:
        if job.status == Status.PENDING:
            counts["released"] += recovery.release(tx, job)
        elif job.guid in beating:
            recovery.extend_lease(tx, job.robot_id, job.guid, term.parts.run_lease)
        else:
            seconds = int(term.parts.run_lease.total_seconds())
            sentence = f"The robot fell silent: no heartbeat for {seconds} seconds while it ran the job."
            counts["lost"] += recovery.lose(tx, job, "robot_lost", sentence)
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
