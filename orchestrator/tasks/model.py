"""Tasks, the partitions they wait in, and the Idempotency-Keys of the requests that made them."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.past import past_of
from orchestrator.tenancy import OwnedByTenant

PARTITIONS = 64
RANK_SHIFT = 2**48  # position = rank * 2^48 + seq: seq has room for 280 million million tasks a partition


class TaskStatus(IntEnum):
    QUEUED = 0
    POSTPONED = 1  # queued, but not before a time; people see it as queued
    CLAIMED = 2
    RUNNING = 3
    SUCCEEDED = 4
    FAILED = 5
    CANCELLED = 6


class Lane(IntEnum):
    """Who does the work. Two lines, so that slow activities never stand before the handing out of jobs."""

    SCHEDULER = 0
    WORKER = 1


class TaskKind(StrEnum):
    DISPATCH = "dispatch"
    ACTIVITY = "activity"
    OPEN_SESSION = "open_session"


class Task(OwnedByTenant, Base):
    """The durable side of a piece of background work; a Celery message is only a hint of it."""

    __tablename__ = "tasks"
    __table_args__ = (
        # Exactly the WHERE and ORDER BY of the claim. Anything less was measured 150 times slower at 10⁶.
        Index("ix_tasks_line", "partition", "lane", "status", "position"),
        Index("ix_tasks_status_lease_until", "status", "lease_until"),
        Index("ix_tasks_status_not_before", "status", "not_before"),
        Index("ix_tasks_tenant_id_status", "tenant_id", "status", "id"),
        Index("ix_tasks_subject", "kind", "subject_id"),
        {"sqlite_autoincrement": True},  # the number of a row that has moved is never given again
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    guid: Mapped[str] = mapped_column(Guid, unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    lane: Mapped[int]
    subject_id: Mapped[int] = mapped_column(BigInteger)  # the job or session it is about; 0: none
    activity: Mapped[str] = mapped_column(Name(120))
    arguments: Mapped[Any] = mapped_column(JSON)
    node: Mapped[str] = mapped_column(Name(120))  # only this worker node may do it; "": any
    ordering_key: Mapped[str | None] = mapped_column(Name(200))  # None: it waits in any partition

    partition: Mapped[int]
    seq: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(BigInteger)  # its place in line: rank first, then seq
    status: Mapped[int]
    attempt: Mapped[int]
    max_attempts: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    owner: Mapped[str] = mapped_column(Name(120))  # who holds the lease; "": nobody
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    result: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)

    created_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


PAST_TASKS = past_of(
    Task,
    Index("ix_past_tasks_tenant_id_status", "tenant_id", "status", "id"),
    Index("ix_past_tasks_finished_at", "finished_at", "id"),
)


class Partition(Base):
    """A fixed slice of the tasks of all tenants, and the lease under which one scheduler serves it."""

    __tablename__ = "partitions"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str] = mapped_column(Name(120))
    epoch: Mapped[int] = mapped_column(BigInteger)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_seq: Mapped[int] = mapped_column(BigInteger)
    # Where the owner's cursor (`claim.py`) must go back to, because a task came into the line before it.
    scheduler_rewind: Mapped[int | None] = mapped_column(BigInteger)
    worker_rewind: Mapped[int | None] = mapped_column(BigInteger)
    # Owners that died in succession while the task at this position was the next to be handed out.
    deaths: Mapped[int] = mapped_column(server_default="0")
    death_position: Mapped[int | None] = mapped_column(BigInteger)


class IdempotencyKey(OwnedByTenant, Base):
    __tablename__ = "idempotency_keys"
    __table_args__ = (
        Index("uq_idempotency_keys_tenant_id_key", "tenant_id", "key", unique=True),
        Index("ix_idempotency_keys_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(Name(255))
    request_digest: Mapped[str] = mapped_column(String(64))
    status_code: Mapped[int]
    answer: Mapped[Any] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
