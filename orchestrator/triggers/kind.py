"""What a kind of trigger is: its settings and, for kinds of time, when it is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from orchestrator.errors import FieldError, Invalid
from orchestrator.transaction import Transaction

LATEST = datetime(2999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Checked:
    """Settings that hold, as they are kept (JSON values), and what follows from them.

    `watches` names what an event of it concerns (`queue:7`), so that the event finds its triggers by index.
    """

    settings: dict[str, Any]
    watches: str | None = None


@dataclass(frozen=True)
class Kind:
    """`check` raises `Invalid` that names `settings.<field>`. `dues` gives the due times after a moment, in
    order; a kind without it is told of its events, and fires then."""

    name: str
    check: Callable[[Transaction, Mapping[str, Any]], Checked]
    dues: Callable[[Mapping[str, Any], ZoneInfo, datetime], Iterator[datetime]] | None = None


class Settings(BaseModel):
    """The settings of a kind: no field is guessed, none is ignored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Settings)


def read(model: type[Model], given: Mapping[str, Any]) -> Model:
    """The settings. Raises `Invalid` that names each field that is wrong."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise Invalid(errors=[FieldError(_place(one["loc"]), _sentence(one)) for one in found[:20]]) from None


def _place(parts: tuple[int | str, ...]) -> str:
    return ".".join(["settings", *map(str, parts)])[:200].replace("\x00", "\\0")


def _sentence(one: Any) -> str:
    if one["type"] == "extra_forbidden":
        return "there is no such field"
    if one["type"] == "missing":
        return "it is missing"
    text = str(one["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("it must be a time like 2026-03-01T09:30:00Z (RFC 3339)")
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise ValueError(f"{value[:40]!r} is not a time like 2026-03-01T09:30:00Z (RFC 3339)") from None
    if moment.tzinfo is None:
        raise ValueError("it says no offset; end it with Z for UTC")
    if not 1970 < moment.year < LATEST.year:
        raise ValueError("it must lie between the years 1971 and 2998")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_moment)]
