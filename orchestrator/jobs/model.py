"""Jobs and their history."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, UtcDateTime
from orchestrator.past import past_of
from orchestrator.tenancy import OwnedByTenant


class Job(OwnedByTenant, Base):
    """One run of a process version that a robot is asked for. `status` has one author: `jobs/states.py`."""

    __tablename__ = "jobs"
    __table_args__ = (
        # A robot asks for the head of its targets' lines: this index is WHERE and ORDER BY of that query.
        Index("ix_jobs_line", "tenant_id", "status", "target", "robot_id", "rank", "id"),
        Index("ix_jobs_robot", "robot_id", "status"),
        Index("ix_jobs_status_lease_until", "status", "lease_until"),
        Index("ix_jobs_tenant_id_process_id", "tenant_id", "process_id", "id"),
        Index("ix_jobs_tenant_id_status", "tenant_id", "status", "id"),
        {"sqlite_autoincrement": True},  # the number of a row that has moved is never given again
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    guid: Mapped[str] = mapped_column(Guid, unique=True)
    process_id: Mapped[int] = mapped_column(BigInteger)
    process_version_id: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[int]
    priority: Mapped[int]
    rank: Mapped[int]  # 100 - priority: ascending order serves the highest priority first
    target: Mapped[str] = mapped_column(String(32))  # who may take it: `robot:7`, `group:3`, `any`
    resource_id: Mapped[int | None] = mapped_column(BigInteger)
    arguments: Mapped[Any] = mapped_column(JSON)
    max_attempts: Mapped[int]
    on_lost: Mapped[str] = mapped_column(String(10))
    max_run_seconds: Mapped[int | None]
    retry_of: Mapped[str | None] = mapped_column(Guid)
    created_by: Mapped[str] = mapped_column(String(200))

    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    # 0: handed to no robot. Below 0: no robot is to see it, because the limits of process `-robot_id` let
    # none of its jobs begin; so beside each line of the index above is a second one, in which those wait.
    robot_id: Mapped[int] = mapped_column(BigInteger)
    stalled_after_seconds: Mapped[int | None]
    on_stalled: Mapped[str | None] = mapped_column(String(10))  # tell, abort
    stalls_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # unless it makes progress before
    stalled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # since when people are told so
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of the run, once it is lease-based
    run_until: Mapped[datetime | None] = mapped_column(UtcDateTime)  # its time limit, then the abort's
    progress: Mapped[int | None]
    result: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(String(40))

    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    pending_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    consumed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stop_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    abort_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobHistory(OwnedByTenant, Base):
    """What happened to a job, in order: one row for each transition, written with it."""

    __tablename__ = "job_history"
    __table_args__ = (Index("ix_job_history_job_id", "job_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    event: Mapped[str] = mapped_column(String(20))
    status: Mapped[int]
    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    robot_id: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str | None] = mapped_column(String(200))
    partition: Mapped[int | None]
    seq: Mapped[int | None] = mapped_column(BigInteger)


PAST_JOBS = past_of(
    Job,
    Index("ix_past_jobs_tenant_id_status", "tenant_id", "status", "id"),
    Index("ix_past_jobs_tenant_id_process_id", "tenant_id", "process_id", "id"),
    Index("ix_past_jobs_robot_id", "robot_id", "id"),
    Index("ix_past_jobs_finished_at", "finished_at", "id"),
)
PAST_JOB_HISTORY = past_of(JobHistory, Index("ix_past_job_history_job_id", "job_id", "id"))


class HeldLine(OwnedByTenant, Base):
    """A line in which jobs of a process are held back by its limits: where to look when these allow more."""

    __tablename__ = "held_lines"
    __table_args__ = (
        Index("uq_held_lines_process_id_target", "tenant_id", "process_id", "target", unique=True),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    process_id: Mapped[int] = mapped_column(BigInteger)
    target: Mapped[str] = mapped_column(String(32))
    since: Mapped[datetime] = mapped_column(UtcDateTime)
