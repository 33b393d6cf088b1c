"""What limits the runs that go on at once: semaphores, who needs them, who holds them; and breakers."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant

EVERY_PROCESS = 0  # as the process of a requirement: each process of the tenant


class SemaphoreKind(StrEnum):
    """People name the first; the others are how a process's and a tenant's own limits are kept."""

    NAMED = "named"
    PROCESS = "process"
    TENANT = "tenant"


class BreakerState(StrEnum):
    CLOSED = "closed"  # starts are allowed
    OPEN = "open"  # none is, before `trial_at`
    HALF_OPEN = "half_open"  # one run is under way, and decides


class Admission(StrEnum):
    """Whether limits let a run begin now. `BUSY`: another robot is being told about them at this moment."""

    GRANTED = "granted"
    REFUSED = "refused"
    BUSY = "busy"


class Semaphore(OwnedByTenant, Base):
    """So many permits, of which a run takes what its process requires. Its row's lock orders all takers."""

    __tablename__ = "semaphores"
    __table_args__ = (
        Index("uq_semaphores_tenant_id_kind_name", "tenant_id", "kind", "name", unique=True),
        Index("ix_semaphores_tenant_id", "tenant_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    kind: Mapped[str] = mapped_column(String(10))
    name: Mapped[str] = mapped_column(Name(120))  # of a process's own: its id; of the tenant's: ""
    description: Mapped[str] = mapped_column(String(1000))
    permits: Mapped[int]
    lease_seconds: Mapped[
        int | None
    ]  # for how long a run may hold a permit at most; NULL: as long as it runs
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Requirement(OwnedByTenant, Base):
    """How many permits of a semaphore each run of a process takes."""

    __tablename__ = "semaphore_requirements"
    __table_args__ = (
        Index("uq_semaphore_requirements_process_id", "tenant_id", "process_id", "semaphore_id", unique=True),
        Index("ix_semaphore_requirements_semaphore_id", "semaphore_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    process_id: Mapped[int] = mapped_column(BigInteger)
    semaphore_id: Mapped[int] = mapped_column(BigInteger)
    permits: Mapped[int]


class Permit(OwnedByTenant, Base):
    """Permits in a run's hands. The row is deleted in the transaction that ends the run."""

    __tablename__ = "permits"
    __table_args__ = (
        Index("uq_permits_semaphore_id_job_id_fence", "semaphore_id", "job_id", "fence", unique=True),
        Index("ix_permits_job_id", "job_id"),
        Index("ix_permits_lease_until", "lease_until"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    semaphore_id: Mapped[int] = mapped_column(BigInteger)
    job_id: Mapped[int] = mapped_column(BigInteger)
    fence: Mapped[int] = mapped_column(BigInteger)  # with the job's id: the run
    process_id: Mapped[int] = mapped_column(BigInteger)
    robot_id: Mapped[int] = mapped_column(BigInteger)
    permits: Mapped[int]
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime | None] = mapped_column(
        UtcDateTime
    )  # counts no longer then; NULL: the run's


class Breaker(OwnedByTenant, Base):
    """Stops the starts of a process whose runs fail one after the other."""

    __tablename__ = "breakers"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    process_id: Mapped[int] = mapped_column(BigInteger, unique=True)
    failures: Mapped[int]  # so many …
    within_seconds: Mapped[int]  # … in so long open it
    cooldown_seconds: Mapped[int | None]  # then one run may try; NULL: only a person closes it
    state: Mapped[str] = mapped_column(String(10))
    recent: Mapped[Any] = mapped_column(JSON)  # times of the latest failures, at most `failures` of them
    reason: Mapped[str | None] = mapped_column(String(400))
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trial_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    trial_job_id: Mapped[int] = mapped_column(BigInteger)  # 0: none
