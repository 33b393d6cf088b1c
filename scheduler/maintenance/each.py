"""Rows of all tenants, each changed in a transaction of its own.

One that cannot be changed keeps no other from it. And the end of a run locks its job, its run, what they
held and, for another attempt, a partition: two of them in one would keep no order, and keep others waiting.
It costs a commit for each row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from orchestrator.errors import Unavailable
from orchestrator.transaction import Transaction
from scheduler.term import Term, TermOver

log = structlog.get_logger(__name__)

Change = Callable[[Transaction, Any], Counter[str]]


def each(term: Term, rows: Iterable[Any], change: Change, step: str = "") -> Counter[str]:
    """Call `change` with each row (tenant_id) and a transaction of its tenant; add its counts up.

    A row may have changed since it was found: `change` looks again, or guards what it writes. One that raises
    is logged, and counted as `not_done`. `step` is what tests call the commit.
    """
    counts: Counter[str] = Counter()
    for row in rows:

        def work(tx: Transaction, row: Any = row) -> Counter[str]:
            tx.step = step
            return change(replace(tx, tenant_id=row.tenant_id), row)

        try:
            counts += term.run(work)  # without what is zero
        except (TermOver, Unavailable):
            raise
        except Exception:
            log.exception("row_not_done", change=change.__module__, tenant=row.tenant_id, row=row.id)
            counts["not_done"] += 1
    return counts
