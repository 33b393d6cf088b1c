"""Calendars: which days are without work. Triggers name one, and leave those days out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class Calendar(OwnedByTenant, Base):
    """The public holidays of a country, its weekends, and a tenant's own dates, which prevail."""

    __tablename__ = "calendars"
    __table_args__ = (Index("uq_calendars_tenant_id_name", "tenant_id", "name", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    name: Mapped[str] = mapped_column(Name(120))
    country: Mapped[str | None] = mapped_column(String(10))  # ISO 3166-1; none: no public holidays
    subdivision: Mapped[str | None] = mapped_column(String(20))  # of ISO 3166-2, without the country
    weekdays: Mapped[Any] = mapped_column(JSON)  # those with work, 1 (Monday) to 7
    days_off: Mapped[Any] = mapped_column(JSON)  # own dates without work: date → what it is
    working_days: Mapped[Any] = mapped_column(JSON)  # own dates with work, whatever else is said of them
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
