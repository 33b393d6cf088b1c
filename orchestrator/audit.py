"""Who did what: an append-only record of what people and programs asked for. Never holds a secret."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String, insert
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, UtcDateTime
from orchestrator.past import past_of
from orchestrator.tenancy import OwnedByTenant
from orchestrator.transaction import Transaction


class AuditRecord(OwnedByTenant, Base):
    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_tenant_id_id", "tenant_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(200))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


PAST_AUDIT = past_of(
    AuditRecord,
    Index("ix_past_audit_tenant_id_id", "tenant_id", "id"),
    Index("ix_past_audit_at", "at", "id"),
)
_APPEND = insert(AuditRecord)


def record(tx: Transaction, action: str, subject: str, **detail: Any) -> None:
    """Append what `tx.actor` does to `subject`, in the same transaction as the doing."""
    row = {
        "tenant_id": tx.tenant_id,
        "at": tx.now,
        "actor": str(tx.actor)[:200],
        "action": action,
        "subject": subject[:200],
        "detail": detail,
    }
    tx.execute(_APPEND, row)
