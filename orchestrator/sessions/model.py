"""Sessions: accounts logged in on a machine, in which unattended robots run."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator.database import Base, BigId, Guid, Name, UtcDateTime
from orchestrator.tenancy import OwnedByTenant


class SessionState(StrEnum):
    ASKED = "asked"  # a task waits for the node, or the node is at it
    OPEN = "open"
    CLOSING = "closing"  # a person asked for its end, and the node is told
    CLOSED = "closed"


LIVE = (SessionState.ASKED, SessionState.OPEN, SessionState.CLOSING)


class Outcome(StrEnum):
    """How a session ended. After `failed` and `lapsed` the next one is not asked for at once."""

    LOGGED_OFF = "logged_off"  # the robot had nothing left to do
    CLOSED = "closed"  # somebody asked for its end
    FAILED = "failed"  # it could not be opened, or its robot broke down
    LAPSED = "lapsed"  # its node fell silent


class Session(OwnedByTenant, Base):
    """One opening of a session for a robot: asked for, open, closed, and why it ended.

    The agent in it authenticates with a GUID of the session's own, known to nobody else and good for as
    long as the session lasts: the robot's own GUID is kept nowhere, and so cannot be handed to a node.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_robot_id_state", "robot_id", "state"),
        Index("ix_sessions_tenant_id", "tenant_id", "id"),
        Index("ix_sessions_state_node", "state", "node"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    public_id: Mapped[str] = mapped_column(Guid, unique=True)
    robot_id: Mapped[int] = mapped_column(BigInteger)
    guid_digest: Mapped[str | None] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(20))
    outcome: Mapped[str] = mapped_column(String(20))  # "" until it is closed
    node: Mapped[str] = mapped_column(Name(120))
    machine: Mapped[str] = mapped_column(String(255))
    account: Mapped[str] = mapped_column(String(120))
    backend: Mapped[str] = mapped_column(String(40))
    pid: Mapped[int | None]
    reason: Mapped[str] = mapped_column(String(500))
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
