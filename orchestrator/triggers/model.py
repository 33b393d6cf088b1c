"""Triggers, the rules that create jobs, and their firings: one due time or event each, unique in SQL."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class Missed(StrEnum):
    """What becomes of due times that passed while no master was there to fire them."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    """What becomes of a firing while jobs of an earlier one have not ended."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"


class FiringState(StrEnum):
    NOTED = "noted"  # its event has taken place; it is about to be carried out
    FIRED = "fired"
    WAITING = "waiting"  # for the jobs of an earlier firing to end
    SKIPPED = "skipped"
    FAILED = "failed"  # its jobs could not be created: `detail` says why


class Trigger(OwnedByTenant, Base):
    """When (kind, settings, time zone, calendar) and what (the order for each of its jobs)."""

    __tablename__ = "triggers"
    __table_args__ = (
        Index("uq_triggers_tenant_id_name", "tenant_id", "name", unique=True),
        Index("ix_triggers_next_due", "next_due"),
        Index("ix_triggers_watches", "watches", "is_enabled"),
        Index("uq_triggers_call_digest", "call_digest", unique=True),
        Index("ix_triggers_former_call_digest", "former_call_digest"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    name: Mapped[str] = mapped_column(Name(120))
    kind: Mapped[str] = mapped_column(String(20))
    settings: Mapped[Any] = mapped_column(JSON)  # of the kind
    time_zone: Mapped[str] = mapped_column(String(64))
    calendar_id: Mapped[int | None] = mapped_column(BigInteger)
    on_missed: Mapped[str] = mapped_column(String(10))
    missed_limit: Mapped[int]  # so many of the newest are run where `on_missed` is all
    on_overlap: Mapped[str] = mapped_column(String(10))

    process_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int | None]  # none: the newest at each firing
    target: Mapped[str] = mapped_column(String(32))  # as a job's
    arguments: Mapped[Any] = mapped_column(JSON)
    priority: Mapped[int]
    max_attempts: Mapped[int]
    on_lost: Mapped[str] = mapped_column(String(10))
    max_run_seconds: Mapped[int | None]

    is_enabled: Mapped[bool]
    next_due: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of kinds of time, while enabled
    last_fired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    watches: Mapped[str | None] = mapped_column(String(40))  # of kinds of events: `queue:7`, `process:3`
    state: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))  # what its kind remembers
    call_digest: Mapped[str | None] = mapped_column(String(64))  # of the secret in the address to call
    former_call_digest: Mapped[str | None] = mapped_column(String(64))  # of the secret before it
    former_call_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Firing(OwnedByTenant, Base):
    """One due time or event of a trigger, and what came of it. The unique index makes it happen once."""

    __tablename__ = "firings"
    __table_args__ = (
        Index("uq_firings_trigger_id_due_key", "trigger_id", "due_key", unique=True),
        Index("ix_firings_trigger_id_is_open", "trigger_id", "is_open"),
        Index("ix_firings_trigger_id", "trigger_id", "id"),
        Index("ix_firings_state", "state", "trigger_id", "id"),
        Index("ix_firings_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    trigger_id: Mapped[int] = mapped_column(BigInteger)
    due_key: Mapped[str] = mapped_column(Name(120))
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(10))
    is_open: Mapped[bool]  # waits, or is not known to have seen the end of all its jobs
    reason: Mapped[str | None] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(Text)
    due_count: Mapped[int]  # due times that this one stands for: more than 1 where some were missed
    job_count: Mapped[int]  # asked for
    arguments: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))  # beside those of the trigger
    jobs: Mapped[Any] = mapped_column(JSON)  # GUIDs
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    fired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
