"""What is known of a route beside its handler: its policy, and the forms of what goes in and out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import BaseModel, TypeAdapter

from orchestrator.api.auth import Policy


@dataclass(frozen=True)
class Upload:
    """A multipart body: one file, and texts beside it."""

    file: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class OneOrMany:
    """A JSON body that is one object, or a list of up to `limit` of them."""

    model: type[BaseModel]
    limit: int


@dataclass(frozen=True)
class OrNothing:
    """A JSON body that may be left out: each of its fields has a default, and the defaults are harmless."""

    model: type[BaseModel]


@dataclass(frozen=True)
class FormOrJson:
    """A body of form fields or a JSON object, whichever its Content-Type says."""

    model: type[BaseModel]


@dataclass(frozen=True)
class Content:
    """An answer that is not JSON."""

    media_type: str
    binary: bool = False


@dataclass(frozen=True)
class Operation:
    """`path` as Flask writes it. `answer` is a dataclass, `Content`, or None for an empty 204."""

    name: str
    method: str
    path: str
    tag: str
    policy: Policy
    summary: str
    description: str = ""
    body: type[BaseModel] | OneOrMany | OrNothing | FormOrJson | Upload | None = None
    query: type[BaseModel] | None = None
    answer: Any = None
    answers: dict[int, Any] = field(default_factory=dict)  # other successes, by status
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)  # that it reads, and what each says

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.answer)

    def dump(self, value: Any) -> bytes | None:
        """The body of the answer; nothing where the operation answers nothing."""
        return None if self.answer is None else self.adapter.dump_json(value)

    def plain(self, value: Any) -> Any:
        """The answer as JSON values, to be stored."""
        return None if self.answer is None else self.adapter.dump_python(value, mode="json")
