"""Sessions: accounts logged in on a machine, in which unattended robots run."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class Session(OwnedByTenant, Base):
    """One opening of a session for a robot: asked for, open, closed (or failed), with the reason."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_robot_id_state", "robot_id", "state"),
        Index("ix_sessions_tenant_id", "tenant_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    robot_id: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(20))  # asked, open, closing, closed
    node: Mapped[str] = mapped_column(Name(120))
    machine: Mapped[str] = mapped_column(String(255))
    account: Mapped[str] = mapped_column(String(120))
    backend: Mapped[str] = mapped_column(String(40))
    pid: Mapped[int | None]
    reason: Mapped[str] = mapped_column(String(500))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
