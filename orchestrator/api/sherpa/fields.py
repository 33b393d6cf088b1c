"""The fields of Sherpa's requests: their names in any case, their values as texts or as JSON.

Sources: docs.sherparpa.ru, one page for each call under Sherpa Orchestrator, API, Task and Queue; for the
filters and the forms of dates Sherpa Designer's blocks "Get Task from Queue" and "Modify Task".
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from orchestrator.api.fields import EARLIEST, LATEST, Key, Line, Name
from orchestrator.api.json_input import check_value
from orchestrator.api.resource_fields import WIDEST_PRIORITY, Parameters, Tags
from orchestrator.insights.sherpa import NEW, PRIORITIES, STATES

LONGEST_LIST = 500
FORMS_OF_DATES = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y")


def _folded(name: str) -> str:
    """`QueueGuid`, `queueGuid` and `queue_guid` are one name."""
    return name.replace("_", "").lower()


# Empty, these say nothing; an empty text may be meant.
_NO_TEXTS = {"status", "priority", "retries", "offset", "limit"}
_NO_TEXTS |= {"take_to_work", "unique_tasks", "auto_change_status"}


class SherpaFields(BaseModel):
    """Unknown fields are ignored, as in the robot protocol; a field given in two spellings is an error."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)
    also: ClassVar[dict[str, str]] = {}  # other names, folded, of fields

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        known = cls.also | {_folded(name): name for name in cls.model_fields}
        folded: dict[str, Any] = {}
        for name, value in given.items():
            field = known.get(_folded(name))
            if field in folded:
                raise ValueError(f"{field} is given in two spellings")
            if field is not None and value is not None and not (value == "" and field in _NO_TEXTS):
                folded[field] = value
        return folded


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _number_in(names: dict[str, int]) -> Any:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.isascii() and value.isdigit() and len(value) <= 10:
            return int(value)
        key = re.sub(r"[^a-z]", "", value.lower())
        if key not in names:
            known = f"none of {', '.join(names)}, nor a number" if names else "not a number"
            raise ValueError(f"{value[:40]!r} is {known}")
        return names[key]

    return read


def _flag(value: Any) -> Any:
    known = {"0": False, "1": True, "false": False, "true": True}
    return known.get(str(value).lower(), value)


def _tags(value: Any) -> Any:
    """Sherpa separates tags by semicolons, and lets the last end with one."""
    if not isinstance(value, str):
        return value
    return list(dict.fromkeys(tag.strip() for tag in value.split(";") if tag.strip()))


def _moment(value: Any) -> Any:
    """RFC 3339, or Sherpa's DD.MM.YYYY hours:minutes; where no offset is given it is UTC."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    moment = _read_moment(value.strip())
    if moment is None:
        raise ValueError(f"{value[:40]!r} is not a time like 2026-03-01T09:30:00Z or 01.03.2026 09:30")
    try:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("it is out of range") from None
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("it must lie between the years 1970 and 2999")
    return moment


def _read_moment(text: str) -> datetime | None:
    for form in FORMS_OF_DATES:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007  (the caller gives it its zone)
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _parameters(value: Any) -> Any:
    """An object as JSON text, as Sherpa's robots send it, is that object; any other text stays a text."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    check_value(parsed, "parameters")
    return parsed


_STATE_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 6}, {"enum": ["New", "Success"]}]}
Text = Annotated[str, BeforeValidator(_text), Field(max_length=10_000)]
TaskName = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=255)]
QueueName = Annotated[Name, BeforeValidator(_text)]
TaskKey = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=255)]
QueueKey = Annotated[Key, BeforeValidator(_text)]
State = Annotated[
    int, BeforeValidator(_number_in(STATES)), Field(ge=NEW, le=6), WithJsonSchema(_STATE_SCHEMA)
]
Priority = Annotated[int, BeforeValidator(_number_in(PRIORITIES)), Field(ge=0, le=WIDEST_PRIORITY)]
Flag = Annotated[bool, BeforeValidator(_flag), WithJsonSchema({"enum": [0, 1, True, False]})]
TagList = Annotated[Tags, BeforeValidator(_tags), WithJsonSchema({"type": "string", "maxLength": 30})]
Moment = Annotated[
    datetime | None, BeforeValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})
]
Count = Annotated[int, BeforeValidator(_number_in({})), Field(ge=0, le=2**31 - 1)]
AnyParameters = Annotated[Parameters | list[Any] | str, BeforeValidator(_parameters)]


class TaskIn(SherpaFields):
    """`queue_guid`: GUID or name. `retries` is kept and shown; the queue's policy retries."""

    queue_guid: QueueKey
    name: TaskName
    description: Text = ""
    comment: Text = ""
    deadline: Moment = None
    postpone_until: Moment = None
    priority: Priority = PRIORITIES["normal"]
    retries: Count = 0
    tags: TagList = Field(default_factory=list)
    parameters: AnyParameters = Field(default_factory=dict)


class TaskChange(SherpaFields):
    """`guid`: GUID or name. What is left out stays."""

    also = {"taskguid": "guid"}

    guid: TaskKey
    name: TaskName = ""
    queue_guid: QueueKey | None = None
    description: Text = ""
    comment: Text = ""
    deadline: Moment = None
    postpone_until: Moment = None
    priority: Priority = 0
    retries: Count = 0
    tags: TagList = Field(default_factory=list)
    parameters: AnyParameters = Field(default_factory=dict)
    status: State | None = None


class TaskNamed(SherpaFields):
    also = {"taskguid": "guid"}

    guid: TaskKey


class TaskTags(SherpaFields):
    """`tag_names`: tags, separated by semicolons. `*`, where they are removed: all of them."""

    also = {"guid": "task_guid"}

    task_guid: TaskKey
    tag_names: TagList


class Filters(SherpaFields):
    """`tags`: `+a` must be there, `-b` must not, of the plain ones one must. `name`: `*` and `?` are any.

    `take_to_work` 1 (what a robot means where it says nothing) begins work on the task that is found.
    """

    queue_guid: QueueKey | None = None
    task_guid: TaskKey | None = None
    name: TaskName | None = None
    status: State | None = None
    priority: Priority | None = None
    tags: Annotated[Text, Field(max_length=1000)] = ""
    created_after: Moment = None
    offset: Count = 0
    limit: Annotated[Count, Field(ge=1, le=LONGEST_LIST)] = 100
    take_to_work: Flag | None = None

    def where(self) -> dict[str, Any]:
        """The condition on what conditions know of: tags, priority, time of creation."""
        found: dict[str, Any] = {}
        if self.priority is not None:
            found["priority"] = self.priority
        if self.created_after is not None:
            found["created_at"] = {"gte": self.created_after.isoformat()}
        if tags := _signed_tags(self.tags):
            found["tags"] = tags
        return found


def _signed_tags(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for tag in _tags(text):
        operator = {"+": "all", "-": "none"}.get(tag[0], "any")
        found.setdefault(operator, []).append(tag.lstrip("+-") if operator != "any" else tag)
    return found


class QueueNamed(SherpaFields):
    also = {"queueguid": "guid"}

    guid: QueueKey


class QueueIn(SherpaFields):
    """`unique_tasks`: no two tasks of one name. `auto_change_status`: a task whose job ends without
    finishing it is Failed; otherwise it is New again."""

    name: QueueName
    description: Annotated[Line, BeforeValidator(_text), Field(max_length=1000)] = ""
    unique_tasks: Flag = False
    auto_change_status: Flag = False


class QueueChange(SherpaFields):
    """`guid`: GUID or name. What is left out stays."""

    also = {"queueguid": "guid"}

    guid: QueueKey
    name: QueueName = ""
    description: Annotated[Line, BeforeValidator(_text), Field(max_length=1000)] = ""
    unique_tasks: Flag = False
    auto_change_status: Flag = False
