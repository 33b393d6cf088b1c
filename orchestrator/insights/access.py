"""What administrators see: API tokens, never their text, and the audit of who did what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from orchestrator.audit import PAST_AUDIT, AuditRecord
from orchestrator.insights.paging import Page, page
from orchestrator.past import live_of
from orchestrator.tokens.model import ApiToken
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class TokenView:
    id: int
    name: str
    role: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class AuditView:
    """`actor` did `action` to `subject`."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Any


def token(tx: Transaction, token_id: int) -> TokenView:
    return _token(tx.execute(_tokens(tx).where(ApiToken.id == token_id)).one())


def tokens(tx: Transaction, role: str | None, limit: int, cursor: str | None) -> Page[TokenView]:
    query = _tokens(tx)
    if role is not None:
        query = query.where(ApiToken.role == role)
    return page(tx, query, ApiToken.id, limit, cursor, lambda rows: [_token(row) for row in rows])


def _tokens(tx: Transaction) -> Any:
    columns = (ApiToken.id, ApiToken.name, ApiToken.role, ApiToken.created_at, ApiToken.revoked_at)
    return select(*columns).where(ApiToken.tenant_id == tx.tenant_id)


def _token(row: Any) -> TokenView:
    return TokenView(row.id, row.name, row.role, row.created_at, row.revoked_at)


def audit(
    tx: Transaction,
    actor: str | None,
    action: str | None,
    subject: str | None,
    limit: int,
    cursor: str | None,
) -> Page[AuditView]:
    asked = {"actor": actor, "action": action, "subject": subject}
    live, past = [
        (
            select(*table.columns).where(
                table.c.tenant_id == tx.tenant_id,
                *[table.c[name] == wanted for name, wanted in asked.items() if wanted is not None],
            ),
            table.c.id,
        )
        for table in (live_of(AuditRecord), PAST_AUDIT)
    ]
    return page(tx, *live, limit, cursor, lambda rows: [_record(row) for row in rows], past)


def _record(row: Any) -> AuditView:
    return AuditView(row.id, row.at, row.actor, row.action, row.subject, row.detail)
