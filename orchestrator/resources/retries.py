"""What the queue's policy makes of a resource whose attempt did not end in Processed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from orchestrator.resources.model import ErrorKind, ResourceStatus
from orchestrator.transaction import Transaction

LONGEST_DELAY = timedelta(days=30)


def after_error(tx: Transaction, queue: Any, row: Any, kind: ErrorKind) -> dict[str, Any]:
    """A robot said that it failed: New again where the policy retries this kind, else Error."""
    allowed = {
        ErrorKind.BUSINESS: queue.retry_business_errors,
        ErrorKind.APPLICATION: queue.retry_application_errors,
    }
    if allowed.get(kind, False) and row.attempt < queue.max_attempts:
        return {"error_kind": kind.value, **_again(tx, queue, row)}
    return {"error_kind": kind.value, "status": ResourceStatus.ERROR.value}


def after_loss(tx: Transaction, queue: Any, row: Any) -> dict[str, Any]:
    """The run ended without finishing it: by default New again, at once, while attempts are left."""
    values = {"taken_by": None, "updated_at": tx.now}
    if queue.on_lost == "new" and row.attempt < queue.max_attempts:
        return {**values, **_again(tx, queue, row)}
    return {
        **values,
        "status": ResourceStatus.ERROR.value,
        "error_kind": ErrorKind.APPLICATION.value,
        "error": f"The run ended without finishing it, in attempt {row.attempt}.",
    }


def _again(tx: Transaction, queue: Any, row: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"status": ResourceStatus.NEW.value}
    if queue.retry_delay_seconds:
        factor = queue.retry_backoff ** max(row.attempt - 1, 0)
        delay = min(timedelta(seconds=min(queue.retry_delay_seconds * factor, 1e9)), LONGEST_DELAY)
        values |= {"postpone_until": tx.now + delay, "is_postponed": True}
    return values
