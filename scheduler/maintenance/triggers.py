"""Fire the triggers that are due by the database's time, and those that waited for earlier jobs to end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import structlog

from orchestrator.errors import Unavailable
from orchestrator.transaction import Transaction
from orchestrator.triggers import schedule
from scheduler.term import Term, TermOver

log = structlog.get_logger(__name__)
BATCH = 500


def run(term: Term) -> dict[str, int]:
    counts = _each(term, schedule.due, schedule.fire_due)
    counts += _each(term, schedule.waiting, schedule.fire_waiting)
    return dict(counts)


def _each(
    term: Term, find: Callable[[Transaction], list[int]], fire: Callable[..., Counter[str]]
) -> Counter[str]:
    """Each trigger in a transaction of its own: one that cannot be fired does not keep the others from it."""
    counts: Counter[str] = Counter()
    for trigger_id in term.run(find):
        try:
            counts += term.run(partial(fire, trigger_id=trigger_id))
        except (TermOver, Unavailable):
            raise
        except Exception:  # its zone is gone, or the like: whatever it is, it is this trigger's
            log.exception("trigger_not_fired", trigger=trigger_id)
            counts["not_fired"] += 1
    return counts


def forget(term: Term) -> dict[str, int]:
    """Delete firings that are older than anybody looks back."""
    total = 0
    while (count := term.run(partial(schedule.forget, limit=BATCH))) > 0:
        total += count
    return {"forgotten": total} if total else {}
