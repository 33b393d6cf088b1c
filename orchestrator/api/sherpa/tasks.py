"""Sherpa's tasks: /api/task/create, read, filter/read, filter/list, update, delete, addTag and removeTag.

Sources: docs.sherparpa.ru, Sherpa Orchestrator, API, Task (POST create; GET read; POST filter/read and
filter/list with the queue, and filters after it, in the path; PUT update and addTag; DELETE delete and
removeTag; `{"guid"}`, `{"result": "1"}` and `[]` as answers), and Sherpa Designer's blocks for filters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from flask import Response
from pydantic import ValidationError

from orchestrator.api.auth import ROBOT, Policy
from orchestrator.api.body import field_errors
from orchestrator.api.call import Call
from orchestrator.api.json_input import read_json
from orchestrator.api.operation import FormOrJson
from orchestrator.api.patience import Nothing
from orchestrator.api.resource_access import reader, who, written
from orchestrator.api.resource_taking import take
from orchestrator.api.routes import Routes
from orchestrator.api.sherpa.fields import Filters, TaskChange, TaskIn, TaskNamed, TaskTags
from orchestrator.database import kept_guid
from orchestrator.errors import Invalid
from orchestrator.insights import sherpa as seen
from orchestrator.insights.sherpa import (
    ABANDONED,
    FAILED,
    FAILED_BUSINESS,
    IN_PROGRESS,
    NAME,
    NEW,
    POSTPONED,
    SUCCESS,
    TaskView,
)
from orchestrator.resources import create as creation
from orchestrator.resources import lifecycle as verbs
from orchestrator.resources import queues, turns
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.locks import MODES, Initiator, Mode
from orchestrator.resources.model import ErrorKind
from orchestrator.transaction import Transaction

routes = Routes("sherpa-tasks", prefix="/api")
KEPT_IN_VALUE = ("description", "comment", "retries")
PLAIN = ("priority", "tags", "deadline", "postpone_until")
ERRORS = {
    FAILED: ErrorKind.APPLICATION,
    FAILED_BUSINESS: ErrorKind.BUSINESS,
    ABANDONED: ErrorKind.ABANDONED,
}


@dataclass(frozen=True)
class Made:
    guid: str


@dataclass(frozen=True)
class Deleted:
    result: str


def shown(tx: Transaction, row: Mapping[str, Any]) -> TaskView:
    return seen.task(row, queues.by_id(tx, row["queue_id"]))


# One task -----------------------------------------------------------------------------------------------


@routes.post("/task/create", Policy.OPERATOR_OR_ROBOT, body=FormOrJson(TaskIn), answer=Made)
def sherpa_create_task(call: Call, body: TaskIn) -> Response:
    """Create a task in a queue."""
    order = NewResource(
        tags=body.tags,
        priority=body.priority,
        postpone_until=body.postpone_until,
        deadline=body.deadline,
        **_kept({}, body, body.name),
    )

    def work(tx: Transaction) -> Made:
        if seen.is_unique(queues.existing(tx, body.queue_guid)):
            order.reference = body.name
        return Made(creation.create(tx, body.queue_guid, [order])[0])

    return call.write(work)


@routes.get("/task/read/<task>", Policy.VIEWER_OR_ROBOT, answer=TaskView)
def sherpa_read_task(call: Call, task: str) -> Response:
    """Read a task by its GUID or name."""

    def work(tx: Transaction) -> TaskView:
        guid = seen.found(tx, task).public_id
        return shown(tx, verbs.read(tx, guid, reader(call, tx)))

    return call.read(work)


@routes.get("/task/read", Policy.VIEWER_OR_ROBOT, query=TaskNamed, answer=TaskView)
def sherpa_read_task_named(call: Call, query: TaskNamed) -> Response:
    """Read the task that the query names."""
    return sherpa_read_task(call, query.guid)


@routes.put("/task/update", Policy.OPERATOR_OR_ROBOT, body=FormOrJson(TaskChange), answer=list[str])
def sherpa_update_task(call: Call, body: TaskChange) -> Response:
    """Change a task, and its state: begin it, finish it, fail it, postpone it."""

    def work(tx: Transaction, guid: str) -> None:
        asker, row = who(call, tx), verbs.existing(tx, guid)
        _same_queue(tx, row, body.queue_guid)
        wanted = _wanted(tx, row, body)
        if wanted:
            verbs.change(tx, guid, asker, wanted)
        if body.status is not None:
            _to_state(tx, guid, asker, body)

    return _write(call, body.guid, work)


@routes.delete("/task/delete/<task>", Policy.OPERATOR_OR_ROBOT, answer=Deleted)
def sherpa_delete_task(call: Call, task: str) -> Response:
    """Delete a task by its GUID or name."""
    return _write(call, task, lambda tx, guid: verbs.remove(tx, guid, who(call, tx)), answer=Deleted("1"))


@routes.delete("/task/delete", Policy.OPERATOR_OR_ROBOT, body=FormOrJson(TaskNamed), answer=Deleted)
def sherpa_delete_task_named(call: Call, body: TaskNamed) -> Response:
    """Delete the task that the body names."""
    return sherpa_delete_task(call, body.guid)


@routes.put("/task/addTag", Policy.OPERATOR_OR_ROBOT, body=FormOrJson(TaskTags), answer=list[str])
def sherpa_add_tags(call: Call, body: TaskTags) -> Response:
    """Add tags to a task."""
    return _retag(call, body.task_guid, lambda tags: list(dict.fromkeys([*tags, *body.tag_names])))


@routes.delete("/task/removeTag", Policy.OPERATOR_OR_ROBOT, body=FormOrJson(TaskTags), answer=list[str])
def sherpa_remove_tags(call: Call, body: TaskTags) -> Response:
    """Remove tags from a task; `*` removes all of them."""
    gone = set(body.tag_names)
    return _retag(call, body.task_guid, lambda tags: [t for t in tags if t not in gone and "*" not in gone])


def _retag(call: Call, task: str, changed: Callable[[list[str]], list[str]]) -> Response:
    def work(tx: Transaction, guid: str) -> None:
        tags = changed(verbs.existing(tx, guid).tags)
        if len(tags) > 100:
            raise Invalid.field("tag_names", "a task has at most 100 tags")
        verbs.change(tx, guid, who(call, tx), {"tags": tags})

    return _write(call, task, work)


def _write(call: Call, task: str, work: Callable[[Transaction, str], object], answer: Any = None) -> Response:
    """`work` on the task with this GUID or name; a refusal is in its history, as v1's."""
    guid = call.fetch(lambda tx: str(seen.found(tx, task).public_id))

    def once(tx: Transaction) -> Any:
        work(tx, guid)
        return [] if answer is None else answer

    return written(call, guid, (Mode.WRITE,), 0, lambda _: call.write(once))


def _to_state(tx: Transaction, guid: str, asker: Initiator, body: TaskChange) -> None:
    if body.status == IN_PROGRESS:
        turns.begin(tx, guid, asker)
    elif body.status == SUCCESS:
        verbs.finish(tx, guid, asker)
    elif body.status in ERRORS:
        verbs.finish(tx, guid, asker, error=body.comment or None, error_kind=ERRORS[body.status])
    elif body.status == POSTPONED and body.postpone_until is None:
        raise Invalid.field("postpone_until", "a task is postponed until a time; say which")
    else:
        turns.put_back(tx, guid, asker, body.postpone_until)


def _same_queue(tx: Transaction, row: Any, queue: str | None) -> None:
    if queue is not None and queues.existing(tx, queue).id != row.queue_id:
        raise Invalid.field("queue_guid", "a task stays in its queue; create it in the other one")


def _wanted(tx: Transaction, row: Any, body: TaskChange) -> dict[str, Any]:
    given = body.model_fields_set
    wanted = {field: getattr(body, field) for field in PLAIN if field in given}
    if given & {"name", "parameters", *KEPT_IN_VALUE}:
        before = row._mapping
        kept = _kept(before, body, body.name or seen.name(before))
        wanted |= {field: value for field, value in kept.items() if value != before[field]}
    if body.name and row.reference is not None and seen.is_unique(queues.by_id(tx, row.queue_id)):
        wanted["reference"] = body.name
    return wanted


def _kept(before: Mapping[str, Any], body: TaskIn | TaskChange, name: str) -> dict[str, Any]:
    """The columns `value` and `parameters` of a task, from what was and what is given."""
    value, parameters = before.get("value"), before.get("parameters", {})
    told = {f: getattr(body, f) for f in KEPT_IN_VALUE if f in body.model_fields_set}
    if "parameters" in body.model_fields_set:
        is_object = isinstance(body.parameters, dict)
        parameters = body.parameters if is_object else {}
        told["parameters"] = None if is_object else body.parameters
    if value is not None and not isinstance(value, dict) and any(v is not None for v in told.values()):
        raise Invalid.field(min(told), "this task's value is another program's, and no object")
    if isinstance(value, dict) or any(v is not None for v in told.values()):
        merged = {**(value or {}), **told}
        value = {key: one for key, one in merged.items() if one is not None}
    return {"value": value or None, "parameters": {**parameters, NAME: name} if name else parameters}


# Searching ----------------------------------------------------------------------------------------------


@routes.post(
    "/task/filter/read",
    Policy.OPERATOR_OR_ROBOT,
    body=FormOrJson(Filters),
    answer=TaskView | list[str],
)
def sherpa_filter_read(call: Call, body: Filters) -> Response:
    """Get the first task of a queue that fits, and begin work on it; `[]`: there is none."""
    queue = _queue(body)
    begins = call.identity.role == ROBOT if body.take_to_work is None else body.take_to_work
    if not begins or body.status not in (None, NEW) or body.task_guid or body.offset:
        return _look_up(call, queue, body, begins)
    if body.name and set(body.name) & set("*?"):
        raise Invalid.field("name", "a pattern finds tasks but takes none; say TakeToWork 0, then update")
    where = body.where() | ({f"parameters.{NAME}": body.name} if body.name else {})
    try:
        return take(call, queue, where, MODES["read"], lambda tx, found: shown(tx, found.row))
    except Nothing:
        return call.answer([])


def _look_up(call: Call, queue: str, filters: Filters, begins: bool) -> Response:
    """The first that fits, as it is; begun where that was asked for and it is New."""

    def work(tx: Transaction) -> TaskView | list[str]:
        status = NEW if filters.status is None and not filters.task_guid else filters.status
        found = _listed(call, tx, queue, filters, status, 1)
        if not found:
            return []
        if begins and seen.state(found[0]) == NEW:
            return shown(tx, turns.begin(tx, found[0]["public_id"], who(call, tx)).row)
        return shown(tx, found[0])

    return call.write(work) if begins else call.read(work)


@routes.post("/task/filter/list", Policy.VIEWER_OR_ROBOT, body=FormOrJson(Filters), answer=list[TaskView])
def sherpa_filter_list(call: Call, body: Filters) -> Response:
    """List the tasks of a queue that fit, the oldest first, at most `limit` after `offset`."""
    queue = _queue(body)
    if body.take_to_work:
        raise Invalid.field("take_to_work", "a list only looks; take tasks one by one with filter/read")

    def work(tx: Transaction) -> list[TaskView]:
        found = queues.existing(tx, queue)
        return [seen.task(row, found) for row in _listed(call, tx, queue, body, body.status, body.limit)]

    return call.read(work)


@routes.post(
    "/task/filter/read/<queue>",
    Policy.OPERATOR_OR_ROBOT,
    body=FormOrJson(Filters),
    answer=TaskView | list[str],
)
def sherpa_filter_read_queue(call: Call, queue: str, body: Filters) -> Response:
    """The same, with the queue in the path."""
    return sherpa_filter_read(call, _joined(body, queue))


@routes.post(
    "/task/filter/read/<queue>/<filters>",
    Policy.OPERATOR_OR_ROBOT,
    body=FormOrJson(Filters),
    answer=TaskView | list[str],
)
def sherpa_filter_read_path(call: Call, queue: str, filters: str, body: Filters) -> Response:
    """The same, with the queue and the filters (JSON, or Name=Value&…) in the path."""
    return sherpa_filter_read(call, _joined(body, queue, filters))


@routes.post(
    "/task/filter/list/<queue>",
    Policy.VIEWER_OR_ROBOT,
    body=FormOrJson(Filters),
    answer=list[TaskView],
)
def sherpa_filter_list_queue(call: Call, queue: str, body: Filters) -> Response:
    """The same, with the queue in the path."""
    return sherpa_filter_list(call, _joined(body, queue))


@routes.post(
    "/task/filter/list/<queue>/<filters>",
    Policy.VIEWER_OR_ROBOT,
    body=FormOrJson(Filters),
    answer=list[TaskView],
)
def sherpa_filter_list_path(call: Call, queue: str, filters: str, body: Filters) -> Response:
    """The same, with the queue and the filters (JSON, or Name=Value&…) in the path."""
    return sherpa_filter_list(call, _joined(body, queue, filters))


def _joined(body: Filters, queue: str, filters: str = "{}") -> Filters:
    """What the path says goes before what the body says."""
    given = read_json(filters.encode()) if filters.startswith("{") else dict(parse_qsl(filters))
    try:
        told = Filters.model_validate(given)
    except ValidationError as error:
        raise Invalid(errors=field_errors(error)) from None
    named = {name: getattr(told, name) for name in told.model_fields_set}
    return body.model_copy(update=named | {"queue_guid": queue})


def _queue(filters: Filters) -> str:
    if filters.queue_guid is None:
        raise Invalid.field("queue_guid", "it is missing; name the queue by GUID or name")
    return filters.queue_guid


def _listed(
    call: Call, tx: Transaction, queue: str, filters: Filters, status: int | None, limit: int
) -> list[Mapping[str, Any]]:
    task = filters.task_guid
    pattern = None if filters.name is None else filters.name.replace("[", "[[]")  # only * and ? are any

    def fits(row: Mapping[str, Any]) -> bool:
        name = seen.name(row)
        if task is not None and kept_guid(task) != row["public_id"] and task != name:
            return False
        return pattern is None or fnmatchcase(name, pattern)

    condition = Condition.read(filters.where())
    rows = seen.listed(tx, queues.existing(tx, queue).id, condition, reader(call, tx), status, fits)
    return list(islice(rows, filters.offset, filters.offset + limit))
