"""Doing what the scheduler itself does with tasks: hand jobs out.

A batch in one transaction, which leaves nothing behind when this process dies. What schedulers die of is
found in steps, each so narrow that it seldom meets an innocent task at which a node was switched off: after
one death the next owner does one task at a time, so the guilty one will be at the head; after the second with
the same head that task is first claimed, which counts the attempt, and then done; after three such attempts
it is set aside: for a minute, for ten, then for good.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from orchestrator import errors
from orchestrator.jobs import dispatch
from orchestrator.jobs.dispatch import HandedOut, Suspicious
from orchestrator.tasks.claim import ClaimedTask, Outrun, Ownership, claim
from orchestrator.tasks.claimed import release, set_aside
from orchestrator.tasks.model import Lane
from scheduler.membership import Membership

log = structlog.get_logger(__name__)

CLAIM_LEASE = timedelta(seconds=30)
# One is an accident: machines are switched off, and operators kill. The second at the same task may not be.
SUSPICIOUS_DEATHS = 2
ATTEMPTS = 3
# A scheduler that is too slow to keep its leases looks like one that died. So, for the innocent's sake, a
# task comes back twice. Attempt 4 finds three that failed and is not made; 5 and 7 are, each after a pause.
PAUSES = dict.fromkeys((3, 4), timedelta(minutes=1)) | dict.fromkeys((5, 6), timedelta(minutes=10))
TRIED_AGAIN = (5, 7)


def hand_out(membership: Membership, owned: Ownership, limit: int) -> HandedOut:
    """Up to `limit` tasks of the partition, in order.

    Raises `StaleFence` if the partition is lost, `Outrun` where a person cancelled one at this moment, and
    what went wrong with a single task.
    """
    deaths, owned.deaths = owned.deaths, 0
    if deaths:
        owned.one_by_one = limit
    if deaths < SUSPICIOUS_DEATHS:
        for size in (1,) if owned.one_by_one else (limit, 1):
            handed = _at_once(membership, owned, size)
            if handed is not None:
                owned.one_by_one = max(0, owned.one_by_one - 1) if handed.count else 0
                return handed
            owned.one_by_one = limit
    return _with_care(membership, owned)


def _at_once(membership: Membership, owned: Ownership, size: int) -> HandedOut | None:
    """None: one of so many cannot be handed out, or has been tried before."""
    try:
        return membership.run(lambda tx: dispatch.hand_out(tx, owned, size))
    except (errors.BotswainError, Outrun):
        raise
    except Suspicious:
        return None
    except Exception:
        log.exception("batch_failed", node=membership.me.name, partition=owned.partition)
        return None


def _with_care(membership: Membership, owned: Ownership) -> HandedOut:
    batch = membership.run(lambda tx: claim(tx, owned, Lane.SCHEDULER, 1, CLAIM_LEASE))
    if not batch.tasks:
        return HandedOut(0)
    _do(membership, batch.tasks[0])
    return HandedOut(1, batch.next_created_at, batch.next_tenant_id)


def _do(membership: Membership, task: ClaimedTask) -> None:
    if task.attempt > ATTEMPTS and task.attempt not in TRIED_AGAIN:
        _set_aside(membership, task, "each scheduler that took it ended, or lost its lease")
        return
    try:
        membership.run(lambda tx: dispatch.dispatch(tx, [task]))
    except errors.Unavailable:
        raise  # the claim's lease, or the next owner of the partition, puts it back
    except Exception as error:
        if task.attempt < ATTEMPTS:
            membership.run(lambda tx: release(tx, [task], Lane.SCHEDULER, counted=True))
            raise
        log.exception("task_failed", task=task.guid)
        _set_aside(membership, task, f"{type(error).__name__}: {str(error)[:500]}")


def _set_aside(membership: Membership, task: ClaimedTask, why: str) -> None:
    pause = PAUSES.get(task.attempt)
    until = f"again in {pause}" if pause else "for good; retry it once the cause is mended"
    sentence = f"Set aside after attempt {task.attempt} to hand its job out, {until}: {why}."
    log.error("task_set_aside", task=task.guid, attempt=task.attempt, why=why)
    membership.run(lambda tx: set_aside(tx, task, sentence, pause))
