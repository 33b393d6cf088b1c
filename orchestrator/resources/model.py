"""Queues of resources that robots share, their locks and history (Robin's resource queues)."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.past import past_of
from orchestrator.tenancy import OwnedByTenant


class ResourceStatus(IntEnum):
    NEW = 0
    IN_PROGRESS = 1
    PROCESSED = 2
    ERROR = 3


STATUS_NAMES = {
    ResourceStatus.NEW: "New",
    ResourceStatus.IN_PROGRESS: "InProgress",
    ResourceStatus.PROCESSED: "Processed",
    ResourceStatus.ERROR: "Error",
}
STATUS_BY_NAME = {name: status for status, name in STATUS_NAMES.items()}


class ErrorKind(StrEnum):
    """A business error is in the resource itself; an application error is in what worked on it."""

    BUSINESS = "business"
    APPLICATION = "application"
    ABANDONED = "abandoned"


class Queue(OwnedByTenant, Base):
    """A queue, and its policy: what becomes of a resource whose run did not finish it."""

    __tablename__ = "queues"
    __table_args__ = (Index("uq_queues_tenant_id_name", "tenant_id", "name", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    name: Mapped[str] = mapped_column(Name(120))
    description: Mapped[str] = mapped_column(String(1000))
    json_schema: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))  # of a resource's value
    on_duplicate: Mapped[str] = mapped_column(String(10))  # of a reference: refuse, return
    on_lost: Mapped[str] = mapped_column(String(10))  # the run ended without finishing: new, error
    max_attempts: Mapped[int]
    retry_application_errors: Mapped[bool]
    retry_business_errors: Mapped[bool]
    retry_delay_seconds: Mapped[int]
    retry_backoff: Mapped[float]  # the delay is multiplied by this with each attempt
    abandon_new_minutes: Mapped[int | None]
    abandon_in_progress_minutes: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Resource(OwnedByTenant, Base):
    """One item. Its locks are columns of its row: a grant, with the change of status, is one UPDATE."""

    __tablename__ = "resources"
    __table_args__ = (
        # The head of a queue's line: WHERE and ORDER BY of `take`.
        Index("ix_resources_line", "queue_id", "status", "is_postponed", "rank", "id"),
        Index("uq_resources_queue_id_reference", "queue_id", "reference", unique=True),
        Index("ix_resources_read_run_id", "read_run_id"),
        Index("ix_resources_write_run_id", "write_run_id"),
        Index("ix_resources_read_until", "read_until"),
        Index("ix_resources_write_until", "write_until"),
        Index("ix_resources_taken_by", "taken_by"),
        Index("ix_resources_postpone_until", "is_postponed", "postpone_until"),
        Index("ix_resources_deadline", "is_overdue", "deadline"),
        Index("ix_resources_tenant_id_queue_id", "tenant_id", "queue_id", "id"),
        {"sqlite_autoincrement": True},  # the number of a row that has moved is never given again
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    queue_id: Mapped[int] = mapped_column(BigInteger)
    reference: Mapped[str | None] = mapped_column(Name(255))
    value: Mapped[Any] = mapped_column(JSON)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    tags: Mapped[list[str]] = mapped_column(JSON)
    status: Mapped[int]
    priority: Mapped[int] = mapped_column(BigInteger)
    rank: Mapped[int] = mapped_column(BigInteger)  # -priority; what is past its deadline goes before all
    attempt: Mapped[int]
    taken_by: Mapped[int | None] = mapped_column(BigInteger)  # the run that works on it
    progress_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    result: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    error_kind: Mapped[str | None] = mapped_column(String(20))
    is_postponed: Mapped[bool]
    postpone_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_overdue: Mapped[bool]
    deadline: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    version: Mapped[int] = mapped_column(
        BigInteger
    )  # grows with every change: what a change compares and sets
    fence: Mapped[int] = mapped_column(BigInteger)  # of the latest grant of either lock; only grows
    read_run_id: Mapped[int | None] = mapped_column(BigInteger)
    read_person: Mapped[str | None] = mapped_column(String(200))
    read_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    read_fence: Mapped[int] = mapped_column(BigInteger)
    write_run_id: Mapped[int | None] = mapped_column(BigInteger)
    write_person: Mapped[str | None] = mapped_column(String(200))
    write_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    write_fence: Mapped[int] = mapped_column(BigInteger)


class ResourceTerm(OwnedByTenant, Base):
    """A tag or a parameter's value as an index entry, with what `take` filters and sorts by beside it."""

    __tablename__ = "resource_terms"
    __table_args__ = (
        Index("ix_resource_terms_line", "queue_id", "term", "status", "is_postponed", "rank", "resource_id"),
    )

    resource_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    term: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    queue_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int]
    is_postponed: Mapped[bool]
    rank: Mapped[int] = mapped_column(BigInteger)


class ResourceHistory(OwnedByTenant, Base):
    """What happened to a resource, in order, refused writes among it."""

    __tablename__ = "resource_history"
    __table_args__ = (
        Index("ix_resource_history_resource_id", "resource_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    resource_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    event: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(200))
    run_id: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[int]
    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


# A deleted resource is kept here too, marked, for as long as its history is kept: to everybody it is gone.
PAST_RESOURCES = past_of(
    Resource,
    Column("deleted_at", UtcDateTime, nullable=True),
    Index("ix_past_resources_queue_id_reference", "queue_id", "reference"),
    Index("ix_past_resources_tenant_id_queue_id", "tenant_id", "queue_id", "id"),
    Index("ix_past_resources_updated_at", "updated_at", "id"),
)
PAST_RESOURCE_HISTORY = past_of(
    ResourceHistory, Index("ix_past_resource_history_resource_id", "resource_id", "id")
)


class Wait(OwnedByTenant, Base):
    """A place in the line of those who wait for a resource, or for one in a queue that fits `condition`.

    Its number is the order of arrival. Whoever hangs up no longer renews it.
    """

    __tablename__ = "waits"
    __table_args__ = (
        Index("ix_waits_resource_id", "resource_id", "id"),
        Index("ix_waits_queue_id", "queue_id", "id"),
        Index("ix_waits_run_id", "run_id"),
        Index("ix_waits_alive_until", "alive_until"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    queue_id: Mapped[int | None] = mapped_column(BigInteger)
    resource_id: Mapped[int | None] = mapped_column(BigInteger)
    condition: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    run_id: Mapped[int | None] = mapped_column(BigInteger)
    modes: Mapped[str] = mapped_column(
        String(10)
    )  # the locks that are in the way or wanted: read, write, both
    alive_until: Mapped[datetime] = mapped_column(UtcDateTime)  # renewed while its owner stays on the line
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
