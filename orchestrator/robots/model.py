"""Robots: identities with a GUID, and the groups they belong to."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class RobotStatus(IntEnum):
    """The robot's own word for itself (Sherpa's Python framework document, «Справочник статусов Роботов»)."""

    DISCONNECTED = 0
    UNLICENSED = 1
    READY = 2
    WORKING = 3


class RobotKind(StrEnum):
    UNATTENDED = "unattended"
    ATTENDED = "attended"


class RobotGroup(OwnedByTenant, Base):
    __tablename__ = "robot_groups"
    __table_args__ = (Index("uq_robot_groups_tenant_id_name", "tenant_id", "name", unique=True),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(Name(100))


class Robot(OwnedByTenant, Base):
    """The GUID itself is never stored: it is a bearer's secret, kept as a keyed digest."""

    __tablename__ = "robots"
    __table_args__ = (
        Index("uq_robots_tenant_id_name", "tenant_id", "name", unique=True),
        Index("ix_robots_tenant_id_group_id", "tenant_id", "group_id"),
        Index("ix_robots_status_last_seen", "status", "last_seen"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    name: Mapped[str] = mapped_column(Name(120))
    kind: Mapped[str] = mapped_column(String(20))
    group_id: Mapped[int | None] = mapped_column(BigInteger)
    guid_digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    secret_digest: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(default=RobotStatus.DISCONNECTED)
    machine: Mapped[str] = mapped_column(String(255), default="")
    ip: Mapped[str] = mapped_column(String(64), default="")
    mac: Mapped[str] = mapped_column(String(64), default="")
    instance: Mapped[str] = mapped_column(String(64), server_default="")  # tells programs of one GUID apart
    # Another program that was heard under its GUID: {"machine", "ip", "mac", "instance", "at"}.
    other: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    doubled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when both were last heard side by side
    node: Mapped[str] = mapped_column(Name(120), default="")  # the worker node that opens its sessions
    account: Mapped[str] = mapped_column(String(120), default="")  # its login on that machine
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
