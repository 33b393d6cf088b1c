"""The verbs of triggers by call: knowing a secret, changing it, and calling.

The secret is shown once and kept as a digest only. It names the trigger by itself: the digest is what it is
found by, so that a wrong secret tells nothing of what there is.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, or_, select, update

from orchestrator import audit
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, IdempotencyMismatch, NotFound
from orchestrator.transaction import Transaction
from orchestrator.triggers import firing, lifecycle
from orchestrator.triggers.by_call import KIND
from orchestrator.triggers.model import Firing, FiringState, Trigger


@dataclass(frozen=True)
class Called:
    """What a caller is told: what came of it, and the GUIDs of the jobs that were created."""

    state: str
    reason: str | None
    jobs: list[str]


_BY_DIGEST = select(
    Trigger.id,
    Trigger.tenant_id,
    Trigger.name,
    Trigger.settings,
    Trigger.is_enabled,
    Trigger.call_digest,
    Trigger.former_call_digest,
    Trigger.former_call_until,
).where(
    Trigger.kind == KIND,
    or_(Trigger.call_digest == bindparam("p_digest"), Trigger.former_call_digest == bindparam("p_digest")),
)


def authenticate(tx: Transaction, digest: str) -> Any | None:
    """The trigger whose secret has this digest, of whatever tenant: the secret is what tells the tenant."""
    for row in tx.execute(_BY_DIGEST, {"p_digest": digest}).all():
        if _opens(digest, row.call_digest) or (
            row.former_call_until is not None
            and row.former_call_until > tx.now
            and _opens(digest, row.former_call_digest)
        ):
            return row
    return None


def _opens(digest: str, kept: str | None) -> bool:
    return kept is not None and hmac.compare_digest(kept, digest)


def rotate(tx: Transaction, key: str, digest: str, keep: timedelta) -> tuple[str, datetime | None]:
    """Accept the secret with this digest from now on, and the one before it for `keep` longer. Returns the
    trigger's name, and until when that is."""
    trigger = firing.lock(tx, lifecycle.existing(tx, key).id)
    if trigger is None:
        raise NotFound(f"There is no trigger {key!r}.")
    if trigger.kind != KIND:
        raise Conflict(
            f"Trigger {trigger.name!r} is of the kind {trigger.kind}: only one by call has a secret."
        )
    until = tx.now + keep if keep and trigger.call_digest is not None else None
    mine = update(Trigger).where(Trigger.id == trigger.id, Trigger.tenant_id == tx.tenant_id)
    values = {
        "call_digest": digest,
        "former_call_digest": trigger.call_digest if until else None,
        "former_call_until": until,
        "updated_at": tx.now,
    }
    tx.execute(mine.values(**values))
    audit.record(tx, "trigger.rotate_secret", trigger.name, former_until=until.isoformat() if until else None)
    return str(trigger.name), until


def call(tx: Transaction, trigger_id: int, arguments: Mapping[str, Any], key: str | None) -> Called:
    """Fire, once for each `key` that the caller names: said again, it gives the first answer.

    Raises `Conflict` where the trigger is disabled or its job cannot be created, `IdempotencyMismatch` where
    the key was used with other arguments.
    """
    trigger = firing.lock(tx, trigger_id)
    if trigger is None:
        raise NotFound("There is no such trigger.")
    if not trigger.is_enabled:
        raise Conflict("This trigger is disabled; its owner can enable it.")
    own = firing.of_trigger(tx, trigger)
    due_key = f"call {_digest_of(key) if key is not None else new_guid()}"
    fired = firing.fire(own, trigger, due_key, own.now, arguments=arguments)
    row = own.execute(_firing(own, trigger, due_key)).one()
    if fired is None and (row.arguments or {}) != dict(arguments):
        raise IdempotencyMismatch(
            "This Idempotency-Key was used for a call with another body; choose a new key."
        )
    if row.state == FiringState.FAILED:
        raise Conflict(f"The trigger could not create its job: {row.detail}")
    return Called(row.state, row.reason, list(row.jobs))


def _firing(tx: Transaction, trigger: Any, due_key: str) -> Any:
    columns = (Firing.state, Firing.reason, Firing.detail, Firing.arguments, Firing.jobs)
    mine = (Firing.trigger_id == trigger.id, Firing.tenant_id == tx.tenant_id)
    return select(*columns).where(*mine, Firing.due_key == due_key)


def _digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
