"""The verbs of API tokens: create, revoke, and recognising them. Only digests are kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, insert, select, update

from orchestrator import audit
from orchestrator.errors import NotFound
from orchestrator.tokens.model import ApiToken, Role
from orchestrator.transaction import Transaction


def create(tx: Transaction, name: str, role: Role, digest: str) -> int:
    """Accept the token with this digest from now on; return its id."""
    row = {
        "tenant_id": tx.tenant_id,
        "name": name,
        "role": role.value,
        "digest": digest,
        "created_at": tx.now,
    }
    tx.execute(insert(ApiToken), row)
    audit.record(tx, "token.create", name, role=role.value)
    return int(tx.execute(select(ApiToken.id).where(ApiToken.digest == digest)).scalar_one())


def revoke(tx: Transaction, token_id: int) -> None:
    """Refuse the token from now on (within seconds, where a process has just accepted it)."""
    mine = (ApiToken.id == token_id, ApiToken.tenant_id == tx.tenant_id)
    token = tx.execute(select(ApiToken.name, ApiToken.revoked_at).where(*mine)).one_or_none()
    if token is None:
        raise NotFound(f"There is no token {token_id}.")
    if token.revoked_at is None:
        tx.execute(update(ApiToken).where(*mine).values(revoked_at=tx.now))
        audit.record(tx, "token.revoke", token.name)


_BY_DIGEST = select(ApiToken.id, ApiToken.tenant_id, ApiToken.name, ApiToken.role).where(
    ApiToken.digest == bindparam("p_digest"), ApiToken.revoked_at.is_(None)
)


def authenticate(tx: Transaction, digest: str) -> Any | None:
    """The token with this digest, of whatever tenant: the token is what tells the tenant."""
    return tx.execute(_BY_DIGEST, {"p_digest": digest}).one_or_none()
