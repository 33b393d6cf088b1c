"""Queues of resources that robots share, and the locks on them (Robin's document on resource queues)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class Queue(OwnedByTenant, Base):
    __tablename__ = "queues"
    __table_args__ = (Index("uq_queues_tenant_id_name", "tenant_id", "name", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    name: Mapped[str] = mapped_column(Name(120))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Resource(OwnedByTenant, Base):
    __tablename__ = "resources"
    __table_args__ = (Index("ix_resources_line", "queue_id", "status", "rank", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    queue_id: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str | None] = mapped_column(Name(255))
    value: Mapped[Any] = mapped_column(JSON)
    parameters: Mapped[Any] = mapped_column(JSON)
    status: Mapped[int]
    priority: Mapped[int] = mapped_column(BigInteger)
    rank: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ResourceLock(OwnedByTenant, Base):
    """Who holds a lock. Redis proposes a grant; the compare-and-set on this row decides."""

    __tablename__ = "resource_locks"
    __table_args__ = (Index("ix_resource_locks_run_id", "run_id"),)

    resource_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    mode: Mapped[str] = mapped_column(String(5), primary_key=True)  # read, write
    run_id: Mapped[int | None] = mapped_column(BigInteger)
    person: Mapped[str | None] = mapped_column(String(200))
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fence: Mapped[int] = mapped_column(BigInteger)
