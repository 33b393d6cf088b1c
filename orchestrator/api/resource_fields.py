"""What callers send about resources: strict, bounded, and the same in the OpenAPI document."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from orchestrator.api.fields import Input, Integer, Moment
from orchestrator.api.json_input import read_json
from orchestrator.api.queries import Decimal, Number, Pages, Query, Text
from orchestrator.errors import Invalid
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import TAG_LIMIT

WIDEST_PRIORITY = 2**53 - 1  # the widest whole number that every reader of JSON keeps whole
LONGEST_LOCK = 10 * 366 * 24 * 3600

Tag = Annotated[str, Field(min_length=1, max_length=TAG_LIMIT)]
Tags = Annotated[list[Tag], Field(max_length=100)]
ParameterName = Annotated[str, Field(min_length=1, max_length=120)]
Parameters = Annotated[dict[ParameterName, Any], Field(max_length=100)]
Priority = Annotated[Integer, Field(ge=0, le=WIDEST_PRIORITY)]
Reference = Annotated[str, Field(min_length=1, max_length=255)]
StatusName = Literal["New", "InProgress", "Processed", "Error"]
LockName = Literal["none", "read", "write", "both"]
Seconds = Annotated[float, Field(ge=0, le=55, allow_inf_nan=False)]
Fence = Annotated[Integer, Field(ge=0, le=2**53)]


def _distinct(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


class ResourceIn(Input):
    """A resource: any JSON as its value, and what it is found by."""

    value: Any = None
    reference: Reference | None = None
    tags: Annotated[Tags, AfterValidator(_distinct)] = Field(default_factory=list)
    priority: Priority = 0
    parameters: Parameters = Field(default_factory=dict)
    postpone_until: Moment | None = None
    deadline: Moment | None = None


class ResourceChange(Input):
    """What is left out stays. Only a person sets `status`; a robot finishes."""

    value: Any = None
    reference: Reference | None = None
    tags: Annotated[Tags, AfterValidator(_distinct)] = Field(default_factory=list)
    priority: Priority = 0
    parameters: Parameters = Field(default_factory=dict)
    postpone_until: Moment | None = None
    deadline: Moment | None = None
    status: StatusName = "New"


class Dated(Input):
    """A lock with `until` or `for_seconds` ends by itself at that moment; with neither, with the run."""

    until: Moment | None = None
    for_seconds: Annotated[float, Field(gt=0, le=LONGEST_LOCK, allow_inf_nan=False)] | None = None
    wait_seconds: Seconds = 0

    def end(self, now: datetime) -> datetime | None:
        if self.until is not None and self.for_seconds is not None:
            raise Invalid.field("for_seconds", "give until or for_seconds, not both")
        if self.for_seconds is not None:
            return now + timedelta(seconds=self.for_seconds)
        if self.until is not None and self.until <= now:
            raise Invalid.field("until", "the moment has passed already")
        return self.until


class TakeIn(Dated):
    """Which resource, and the lock that comes with it. Without a status in `where`, New is meant."""

    where: dict[str, Any] = Field(default_factory=dict)
    lock: LockName = "read"


class LockIn(Dated):
    lock: Literal["read", "write", "both"] = "both"
    fence: Fence | None = None


class UnlockIn(Input):
    lock: Literal["read", "write", "both"] = "both"
    fence: Fence | None = None


class FinishIn(Input):
    """Processed with a result, or Error with what went wrong and of which kind it is."""

    status: Literal["Processed", "Error"] = "Processed"
    result: Any = None
    error: Annotated[str, Field(max_length=10_000)] | None = None
    error_kind: Literal["business", "application"] | None = None
    fence: Fence | None = None
    wait_seconds: Seconds = 0


class PostponeIn(Input):
    """Until when nobody is given it; a time, or seconds from now."""

    until: Moment | None = None
    for_seconds: Annotated[float, Field(ge=0, le=LONGEST_LOCK, allow_inf_nan=False)] | None = None
    fence: Fence | None = None

    def end(self, now: datetime) -> datetime:
        if (self.until is None) == (self.for_seconds is None):
            raise Invalid.field("until", "give either until or for_seconds")
        return self.until if self.until is not None else now + timedelta(seconds=self.for_seconds or 0)


class Waiting(Query):
    wait_seconds: Annotated[Decimal, Field(ge=0, le=55)] = 0


class Fenced(Waiting):
    """`fence` is that of the caller's lock: refused where it has passed to another."""

    fence: Annotated[Number, Field(ge=0)] | None = None


class ResourceFilters(Pages):
    """`where` is a condition as JSON; what is named beside it must hold as well. `tags` (or `tag`) is one tag
    that must be there: for several, ask by `where`."""

    where: Annotated[str, Field(max_length=10_000)] | None = None
    status: StatusName | None = None
    priority: Annotated[Number, Field(ge=0, le=WIDEST_PRIORITY)] | None = None
    reference: Text | None = None
    tags: Text | None = None
    tag: Text | None = None

    def condition(self) -> Condition:
        asked = Condition.read(read_json(self.where.encode()) if self.where else {})
        named = self.model_dump(include={"status", "priority", "reference"}, exclude_none=True)
        tags = [tag for tag in (self.tags, self.tag) if tag is not None]
        return asked.and_also(Condition.read(named | ({"tags": {"all": tags}} if tags else {})))
