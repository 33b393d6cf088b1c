"""What every list takes: a limit and a cursor."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from orchestrator.insights.paging import CURSOR_PATTERN

DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


def _number(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 16:
        raise ValueError("it must be a whole number")
    return int(text)


def _truth(text: Any) -> Any:
    return {"true": True, "false": False}.get(text, text) if isinstance(text, str) else text


def _decimal(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if DECIMAL.fullmatch(text) is None:
        raise ValueError("it must be a number like 5 or 2.5")
    return float(text)


# A query holds texts: these turn them into what a strict model wants.
Number = Annotated[int, BeforeValidator(_number)]
Decimal = Annotated[float, BeforeValidator(_decimal), WithJsonSchema({"type": "number"})]
Truth = Annotated[bool, BeforeValidator(_truth), WithJsonSchema({"type": "boolean"})]
Text = Annotated[str, Field(min_length=1, max_length=255)]


class Query(BaseModel):
    """Parameters of a query: an unknown one is refused, as it is more often a mistake than meant."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def chosen(self) -> dict[str, Any]:
        """The filters: what was given beside limit and cursor."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)


class Pages(Query):
    limit: Annotated[Number, Field(ge=1, le=500)] = 50
    cursor: Annotated[str, Field(pattern=CURSOR_PATTERN)] | None = None


class LongPages(Pages):
    """Of what is mostly read whole, and still has an end."""

    limit: Annotated[Number, Field(ge=1, le=500)] = 500
