"""Nodes, leases and duties of the cluster. They belong to no tenant: every tenant's work runs on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Name, UtcDateTime


class Node(Base):
    """A running scheduler or worker node: its row is its registration, renewed while it lives."""

    __tablename__ = "nodes"
    __table_args__ = (Index("ix_nodes_kind_lease_until", "kind", "lease_until"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Name(120), unique=True)
    kind: Mapped[str] = mapped_column(String(20))  # scheduler, worker
    cluster_id: Mapped[int]  # 0 for a worker node
    cluster_size: Mapped[int]  # 0 where numbers are on lease: then the size is how many live
    incarnation: Mapped[str] = mapped_column(String(36))  # new at each start: tells a restart from a double
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    working_path: Mapped[str] = mapped_column(String(1000))
    # What a worker node can do and has free: {"activities", "backends", "slots", "free_slots", "sessions"}.
    capabilities: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    # What a node finds around it: measures by name, as `cluster/surroundings` takes them.
    surroundings: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    is_designated: Mapped[bool] = mapped_column(server_default=false())  # to be master before all others
    version: Mapped[str] = mapped_column(String(40), server_default="")  # of its code
    is_draining: Mapped[bool]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime)
    lease_until: Mapped[datetime] = mapped_column(UtcDateTime)


class Lease(Base):
    """A named right that one holder has until its end; `epoch` only grows, and fences the late."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    holder: Mapped[str] = mapped_column(Name(120))
    epoch: Mapped[int] = mapped_column(BigInteger)
    lease_until: Mapped[datetime] = mapped_column(UtcDateTime)


class DutyRun(Base):
    """How a duty of the master fared the last time, whoever was master."""

    __tablename__ = "duties"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    node: Mapped[str] = mapped_column(Name(120))
    term: Mapped[int] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None: it is at work
    seconds: Mapped[float | None] = mapped_column(Double)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    counts: Mapped[Any] = mapped_column(JSON)  # of the last run that changed something
    counted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int]  # in a row, up to now
    error: Mapped[str | None] = mapped_column(Text)  # of the last run; None: it succeeded
    done: Mapped[int | None] = mapped_column(
        BigInteger
    )  # how far a long run is, of `total` where that is known
    total: Mapped[int | None] = mapped_column(BigInteger)
