"""The types of fields in requests: strict, bounded, and the same in the OpenAPI document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from orchestrator.robots.lifecycle import normal_guid

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2999, 12, 31, tzinfo=UTC)
WIDEST = 2**31 - 1


class Input(BaseModel):
    """A JSON object from a caller: no field is guessed, none is ignored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _whole(value: Any) -> Any:
    # In JSON 1.0 is the same number as 1.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _moment(value: Any) -> Any:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or len(value) < 19 or value[10:11] not in ("T", "t", " "):
        raise ValueError("it must be a time like 2026-03-01T09:30:00Z (RFC 3339)")
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(f"{value[:40]!r} is not a time like 2026-03-01T09:30:00Z (RFC 3339)") from None
    if moment.tzinfo is None:
        raise ValueError("it says no offset; end it with Z for UTC")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is out of range") from None
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("it must lie between the years 1970 and 2999")
    return moment


def _not_a_guid(name: str) -> str:
    bare = name.replace("-", "")
    if len(bare) == 32 and all(character in "0123456789abcdefABCDEF" for character in bare):
        raise ValueError("a name must not look like a GUID: things are found by either")
    return name


# A name stands in paths, so no slashes; and it is read by people, so no blanks at its ends.
NAME_PATTERN = r"^[^\x00-\x20/\\\x7f-\xa0]([^\x00-\x1f/\\\x7f-\x9f]*[^\x00-\x20/\\\x7f-\xa0])?$"
Integer = Annotated[int, BeforeValidator(_whole)]
Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]


def _not_dots(name: str) -> str:
    if name in (".", ".."):
        raise ValueError("a name must not be . or ..")
    return name


Name = Annotated[
    str,
    Field(min_length=1, max_length=120, pattern=NAME_PATTERN),
    AfterValidator(_not_a_guid),
    AfterValidator(_not_dots),
]


def _text(value: str) -> str:
    if any(ord(character) < 32 for character in value):
        raise ValueError("it must be one line of printable characters")
    return value


Key = Annotated[str, Field(min_length=1, max_length=200)]  # an id or a name of something that exists
Line = Annotated[str, AfterValidator(_text)]
Guid = Annotated[str, AfterValidator(normal_guid), WithJsonSchema({"type": "string", "format": "uuid"})]
