"""Tenants: the owners of rows. Every table but those of the cluster itself names its tenant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Name, UtcDateTime

DEFAULT_TENANT = 1


class Tenant(Base):
    __tablename__ = "tenants"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Name(100), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OwnedByTenant:
    """Mixin: the column that every query on the table must name."""

    tenant_id: Mapped[int] = mapped_column(BigInteger, nullable=False, sort_order=-90)
