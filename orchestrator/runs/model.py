"""Runs: executions of jobs by robots. A requeued job has several."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, UtcDateTime
from orchestrator.past import past_of
from orchestrator.tenancy import OwnedByTenant


class Run(OwnedByTenant, Base):
    """One execution of a job by a robot: the initiator of locks."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_job_id_robot_id", "job_id", "robot_id"),
        Index("ix_runs_robot_id_ended_at", "robot_id", "ended_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger)
    job_guid: Mapped[str] = mapped_column(Guid)
    robot_id: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    uses_resources: Mapped[bool]  # has taken or locked one: its end must look for them
    touched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when it last did, to the second
    limited_process_id: Mapped[int | None] = mapped_column(BigInteger)  # its end must look at these limits
    consumed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


PAST_RUNS = past_of(Run, Index("ix_past_runs_job_id_robot_id", "job_id", "robot_id"))
