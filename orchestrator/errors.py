"""Every error that Botswain raises on purpose: one root, a stable `code`, the docstring as title.

HTTP statuses live in `api/problems.py` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One field of a request that cannot be accepted: its path (`arguments`, `0.priority`) and why."""

    field: str
    message: str


class BotswainError(Exception):
    """Something went wrong"""

    code = "error"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail or f"{self.title}."
        super().__init__(self.detail)

    @property
    def title(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0].rstrip(".")


class ConfigurationError(BotswainError):
    """The configuration is not usable"""

    code = "configuration"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Invalid(BotswainError):
    """The request cannot be read"""

    code = "invalid"

    def __init__(self, detail: str = "", errors: Sequence[FieldError] = ()) -> None:
        self.errors = tuple(errors)
        super().__init__(detail or "; ".join(f"{e.field}: {e.message}" for e in self.errors))

    @classmethod
    def field(cls, field: str, message: str) -> Invalid:
        return cls(errors=[FieldError(field, message)])


class Unauthenticated(BotswainError):
    """Say who you are"""

    code = "unauthenticated"


class Forbidden(BotswainError):
    """This is not allowed to you"""

    code = "forbidden"


class NotFound(BotswainError):
    """There is no such thing here"""

    code = "not_found"


class Conflict(BotswainError):
    """The present state does not allow this"""

    code = "conflict"


class NotAllowedNow(Conflict):
    """The job's present state does not allow this"""

    code = "transition_not_allowed"

    def __init__(self, detail: str, status: int) -> None:
        self.status = status
        super().__init__(detail)


class StaleFence(Conflict):
    """Another holder has taken over; this one's writes no longer count"""

    code = "stale_fence"


class Locked(Conflict):
    """Another holds a lock on this"""

    code = "locked"

    def __init__(self, detail: str, lock: str, holder: dict[str, Any], until: datetime | None) -> None:
        self.lock = lock
        self.holder = holder
        self.until = until
        super().__init__(detail)


class WaitCycle(Conflict):
    """Runs wait for each other in a circle"""

    code = "wait_cycle"

    def __init__(self, detail: str, cycle: Sequence[str]) -> None:
        self.cycle = list(cycle)
        super().__init__(detail)


class AlreadyExists(Conflict):
    """The name is taken"""

    code = "already_exists"


class IdempotencyMismatch(BotswainError):
    """This Idempotency-Key was used for another request"""

    code = "idempotency_mismatch"


class TooLarge(BotswainError):
    """The request is too large"""

    code = "too_large"


class TooManyRequests(BotswainError):
    """Too many requests"""

    code = "too_many_requests"

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class Unavailable(BotswainError):
    """A part that this needs does not answer at the moment"""

    code = "unavailable"

    def __init__(self, detail: str = "", retry_after: int = 2) -> None:
        self.retry_after = retry_after
        super().__init__(detail)
