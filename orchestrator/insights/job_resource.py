"""What stands between a job that has not begun and the resource that it was created for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.insights.reason import Reason
from orchestrator.resources import locks, queues, search
from orchestrator.resources.holders import describe
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import STATUS_NAMES, ResourceStatus
from orchestrator.transaction import Transaction

_ITS_RUN = Initiator(run_id=0)  # one that there is not yet


def why_it_may_not_begin(tx: Transaction, job: Any) -> Iterator[Reason]:
    """The job does not wait for its resource: a robot that comes while it is not to be had cancels it."""
    if job.resource_id is None:
        return
    row = search.by_id(tx, job.resource_id)
    if row is None or row.status != ResourceStatus.NEW:
        yield _unavailable(row)
        return
    lock = locks.hindrance(row, (Mode.READ,), _ITS_RUN, tx.now)
    if lock is not None:
        holder = describe(tx, lock)
        until = f"until {_time(lock.until)}" if lock.until else "as long as that run lasts"
        until = until if lock.until or holder["kind"] == "run" else "until somebody lifts it"
        yield Reason(
            "resource_locked",
            f"Its resource {row.public_id} is locked by {holder['kind']} {holder['id']}, {until}; "
            "a robot that comes before that cancels the job.",
        )
    if row.is_postponed and row.postpone_until > tx.now:
        yield _postponed(tx, row)


def _unavailable(row: Any) -> Reason:
    what = (
        "has been deleted"
        if row is None
        else f"{row.public_id} is {STATUS_NAMES[ResourceStatus(row.status)]} by now"
    )
    return Reason("resource_gone", f"Its resource {what}; the job is cancelled as soon as a robot comes.")


def _postponed(tx: Transaction, row: Any) -> Reason:
    until, queue = _time(row.postpone_until), queues.by_id(tx, row.queue_id)
    why = (
        f"is to be tried again from {until} on: attempt {row.attempt} of {queue.max_attempts} failed"
        if row.attempt and row.error_kind
        else f"is postponed until {until}"
    )
    return Reason(
        "resource_postponed",
        f"Its resource {row.public_id} {why}. Nobody takes it from its queue before; this job does not wait.",
    )


def _time(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
