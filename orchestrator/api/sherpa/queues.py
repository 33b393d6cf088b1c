"""Sherpa's queues: /api/queue/create, read, update, delete and lastTask.

Sources: docs.sherparpa.ru, Sherpa Orchestrator, API, Queue (POST, GET, PUT and DELETE with their fields;
`[]` where there is nothing to answer), and "Example of API Call in Python" (GET lastTask).
"""

from __future__ import annotations

from typing import Any

from flask import Response

from orchestrator.api.auth import ROBOT, Policy
from orchestrator.api.call import Call
from orchestrator.api.operation import FormOrJson
from orchestrator.api.patience import Nothing
from orchestrator.api.resource_taking import take
from orchestrator.api.routes import Routes
from orchestrator.api.sherpa.fields import QueueChange, QueueIn, QueueNamed
from orchestrator.api.sherpa.tasks import Made, shown
from orchestrator.insights import sherpa as seen
from orchestrator.insights.sherpa import QueueTasksView, TaskView
from orchestrator.resources import queues as verbs
from orchestrator.resources.locks import MODES
from orchestrator.resources.queues import NewQueue
from orchestrator.transaction import Transaction

routes = Routes("sherpa-queues", prefix="/api")


@routes.post("/queue/create", Policy.OPERATOR, body=FormOrJson(QueueIn), answer=Made)
def sherpa_create_queue(call: Call, body: QueueIn) -> Response:
    """Create a queue."""
    new = NewQueue(
        body.name,
        body.description,
        json_schema=_schema(None, body.unique_tasks),
        on_lost=_on_lost(body.auto_change_status),
    )
    return call.write(lambda tx: Made(verbs.create(tx, new)))


@routes.get("/queue/read/<queue>", Policy.VIEWER_OR_ROBOT, answer=QueueTasksView)
def sherpa_read_queue(call: Call, queue: str) -> Response:
    """Read a queue by its GUID or name."""
    return call.read(lambda tx: seen.queue_view(verbs.existing(tx, queue)))


@routes.get("/queue/read", Policy.VIEWER_OR_ROBOT, query=QueueNamed, answer=QueueTasksView)
def sherpa_read_queue_named(call: Call, query: QueueNamed) -> Response:
    """Read the queue that the query names."""
    return sherpa_read_queue(call, query.guid)


@routes.put("/queue/update", Policy.OPERATOR, body=FormOrJson(QueueChange), answer=list[str])
def sherpa_update_queue(call: Call, body: QueueChange) -> Response:
    """Change a queue."""

    def work(tx: Transaction) -> list[str]:
        queue = verbs.existing(tx, body.guid)
        given = body.model_fields_set
        wanted: dict[str, Any] = {n: getattr(body, n) for n in given & {"name", "description"}}
        if "unique_tasks" in given:
            wanted["json_schema"] = _schema(queue.json_schema, body.unique_tasks)
        if "auto_change_status" in given:
            wanted["on_lost"] = _on_lost(body.auto_change_status)
        verbs.change(tx, body.guid, **wanted)
        return []

    return call.write(work)


@routes.delete("/queue/delete/<queue>", Policy.OPERATOR, answer=list[str])
def sherpa_delete_queue(call: Call, queue: str) -> Response:
    """Delete an empty queue by its GUID or name."""

    def work(tx: Transaction) -> list[str]:
        verbs.remove(tx, queue)
        return []

    return call.write(work)


@routes.delete("/queue/delete", Policy.OPERATOR, body=FormOrJson(QueueNamed), answer=list[str])
def sherpa_delete_queue_named(call: Call, body: QueueNamed) -> Response:
    """Delete the empty queue that the body names."""
    return sherpa_delete_queue(call, body.guid)


@routes.get("/queue/lastTask/<queue>", Policy.OPERATOR_OR_ROBOT, answer=TaskView | list[str])
def sherpa_last_task(call: Call, queue: str) -> Response:
    """Get the next New task of a queue; a robot begins work on it, a person only looks. `[]`: none."""
    modes = MODES["read" if call.identity.role == ROBOT else "none"]
    try:
        return take(call, queue, {}, modes, lambda tx, found: shown(tx, found.row))
    except Nothing:
        return call.answer([])


@routes.get("/queue/lastTask", Policy.OPERATOR_OR_ROBOT, query=QueueNamed, answer=TaskView | list[str])
def sherpa_last_task_named(call: Call, query: QueueNamed) -> Response:
    """Get the next New task of the queue that the query names."""
    return sherpa_last_task(call, query.guid)


def _schema(present: Any, unique: bool) -> Any:
    rest = {key: value for key, value in (present or {}).items() if key != seen.UNIQUE}
    return (rest | {seen.UNIQUE: True} if unique else rest) or None


def _on_lost(auto_change_status: bool) -> str:
    return "error" if auto_change_status else "new"
