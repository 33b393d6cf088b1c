"""How sessions are opened: the one class to write for another way (a graphical session, RDP).

A backend knows how to bring a robot's agent to life in a session, to see whether it lives, and to end it.
Everything else (who is asked for, what the server is told, when to lose patience) is the coordinator's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

LOGGED_OFF, CLOSED, FAILED = "logged_off", "closed", "failed"  # the server's words for how a session ended


@dataclass(frozen=True)
class Session:
    """A session to open. `guid` is what its agent authenticates with at `server`, while the session lasts;
    `robot_id` stays the same for all sessions of a robot. `account` is a login on this machine, or empty."""

    id: str
    robot: str
    robot_id: str
    account: str
    server: str
    guid: str = field(repr=False)


@dataclass(frozen=True)
class Handle:
    """An opened session: the agent's process where it is known, and whatever else the backend needs."""

    session: Session
    pid: int | None = None
    own: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class Ending:
    """How a session ended: LOGGED_OFF, CLOSED or FAILED, and a sentence for people."""

    outcome: str
    reason: str


class CannotOpenError(Exception):
    """The session cannot be opened; the text says why and what to do."""


class SessionBackend(ABC):
    """All methods are called from one thread, which lives as long as the node. None may block for long."""

    name: ClassVar[str]

    @abstractmethod
    def open(self, session: Session) -> Handle:
        """Start the session and the agent in it. Raises `CannotOpenError`."""

    @abstractmethod
    def ending(self, handle: Handle) -> Ending | None:
        """None while the agent lives; else how it ended."""

    @abstractmethod
    def close(self, handle: Handle, *, hard: bool) -> None:
        """Ask the agent to end: first softly, then, said again, more urgently; `hard` ends it now."""
