"""REST v1: background tasks, for people, and for the worker nodes that do them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from orchestrator import audit
from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Input, Integer, Line, Moment, Name
from orchestrator.api.idempotency import Minted
from orchestrator.api.queries import Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.errors import Invalid
from orchestrator.insights import tasks as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.tasks import TaskView
from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions.lifecycle import Opening
from orchestrator.tasks import lifecycle as verbs
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import TaskKind
from orchestrator.transaction import Transaction

routes = Routes("tasks")

MANY = 1000
ERROR_LIMIT = 10_000
Fence = Annotated[Integer, Field(ge=0, le=2**53)]


class TaskIn(Input):
    """Tasks with the same `ordering_key` are begun in the order in which they came. `node` is the only
    worker node that may do it; any may where it is left out."""

    activity: Name
    arguments: Any = Field(default_factory=dict)
    ordering_key: Annotated[Line, Field(max_length=200)] = ""
    node: Annotated[Line, Field(max_length=120)] = ""
    not_before: Moment | None = None
    max_attempts: Annotated[Integer, Field(ge=1, le=100)] = 1


class TaskFilters(Pages):
    state: Literal["queued", "claimed", "running", "succeeded", "failed", "cancelled"] | None = None
    kind: Literal["dispatch", "activity", "open_session"] | None = None
    activity: Text | None = None
    node: Text | None = None
    ordering_key: Text | None = None
    owner: Text | None = None


class Chosen(Input):
    """`ids` names tasks, all or none; without it all that failed are chosen, of one `activity` or any."""

    ids: Annotated[list[str], Field(min_length=1, max_length=MANY)] | None = None
    activity: Name | None = None


class Begun(Input):
    fence: Fence
    node: Name


class Ended(Input):
    """`error` says that the attempt failed; without it it succeeded, with `result`."""

    fence: Fence
    result: Any = None
    error: Annotated[str, Field(min_length=1, max_length=ERROR_LIMIT)] | None = None


@dataclass(frozen=True)
class Retried:
    ids: list[str]


@dataclass(frozen=True)
class Order:
    """What a node needs to do the task. It renews its lease before `lease_until`, by the fence.

    `session` is what an open_session is about. `session_guid`, told this once, is what the session's agent
    authenticates with, for as long as the session lasts.
    """

    id: str
    fence: int
    kind: str
    activity: str
    arguments: Any
    attempt: int
    max_attempts: int
    lease_until: datetime
    lease_seconds: float
    session: Opening | None
    session_guid: str | None = field(repr=False)


@routes.post("/tasks", Policy.OPERATOR, body=TaskIn, answer=TaskView, status=201)
def create_task(call: Call, body: TaskIn) -> Response:
    """Put an activity in line, to be run on a worker node."""
    new = NewTask(
        TaskKind.ACTIVITY,
        activity=body.activity,
        arguments=body.arguments,
        node=body.node,
        ordering_key=body.ordering_key,
        not_before=body.not_before,
        max_attempts=body.max_attempts,
    )

    def work(tx: Transaction) -> TaskView:
        audit.record(tx, "task.create", new.guid, activity=new.activity)
        enqueue(tx, [new])
        return seen.one(tx, new.guid)

    return call.write(work)


@routes.get("/tasks", Policy.VIEWER, query=TaskFilters, answer=Page[TaskView])
def list_tasks(call: Call, query: TaskFilters) -> Response:
    """List tasks, newest first."""
    filters = seen.Filters(**query.chosen())
    return call.read(lambda tx: seen.listed(tx, filters, query.limit, query.cursor))


@routes.post("/tasks/retry", Policy.OPERATOR, body=Chosen, answer=Retried)
def retry_tasks(call: Call, body: Chosen) -> Response:
    """Put many failed tasks back in their places, up to 1,000 at a time."""
    if body.ids is not None and body.activity is not None:
        raise Invalid.field("activity", "give ids or an activity, not both")

    def work(tx: Transaction) -> Retried:
        chosen = body.ids if body.ids is not None else seen.failed(tx, body.activity, MANY)
        guids = seen.in_order_of_locking(tx, chosen)
        for guid in guids:
            verbs.retry(tx, guid)
            audit.record(tx, "task.retry", guid)
        return Retried(guids)

    return call.write(work)


@routes.get("/tasks/<task>", Policy.VIEWER, answer=TaskView)
def get_task(call: Call, task: str) -> Response:
    """Get one task by its id."""
    return call.read(lambda tx: seen.one(tx, task))


@routes.post("/tasks/<task>/retry", Policy.OPERATOR, answer=TaskView)
def retry_task(call: Call, task: str) -> Response:
    """Put a failed or cancelled task back in its place, with all its attempts before it again."""
    return _changed(call, task, "task.retry", verbs.retry)


@routes.post("/tasks/<task>/cancel", Policy.OPERATOR, answer=TaskView)
def cancel_task(call: Call, task: str) -> Response:
    """Cancel a task that no node has begun."""
    return _changed(call, task, "task.cancel", verbs.cancel)


@routes.post("/tasks/<task>/start", Policy.NODE, body=Begun, answer=Order)
def start_task(call: Call, task: str, body: Begun) -> Response:
    """Begin a claimed task, for a worker node.

    A message may come twice: only the first start with a fence is accepted. Send an Idempotency-Key, to get
    the same answer where it was lost on the way.
    """
    lease = _lease(call)
    minted = Minted.by(call.parts.config, "session_guid", _guid)

    def work(tx: Transaction) -> Order:
        row = verbs.start(tx, seen.found(tx, task).guid, body.fence, body.node, lease)
        opening = None
        if row.kind == TaskKind.OPEN_SESSION:
            opening = sessions.begin(tx, row.subject_id, body.node, call.digest(minted.value))
        return Order(
            id=row.guid,
            fence=row.fence,
            kind=row.kind,
            activity=row.activity,
            arguments=row.arguments,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            lease_until=row.lease_until,
            lease_seconds=lease.total_seconds(),
            session=opening,
            session_guid=minted.value if opening else None,
        )

    return call.write(work, minted=minted)


@routes.post("/tasks/<task>/renew", Policy.NODE, body=Begun, answer=TaskView)
def renew_task(call: Call, task: str, body: Begun) -> Response:
    """Say that the node still works on the task."""
    lease = _lease(call)

    def work(tx: Transaction) -> TaskView:
        guid = seen.found(tx, task).guid
        verbs.renew(tx, guid, body.fence, body.node, lease)
        return seen.one(tx, guid)

    return call.write(work)


@routes.post("/tasks/<task>/finish", Policy.NODE, body=Ended, answer=TaskView)
def finish_task(call: Call, task: str, body: Ended) -> Response:
    """Report how an attempt ended. Said again with the same fence, it changes nothing."""
    if body.error is not None and body.result is not None:
        raise Invalid.field("result", "give a result or an error, not both")

    def work(tx: Transaction) -> TaskView:
        guid = seen.found(tx, task).guid
        if body.error is None:
            verbs.finish(tx, guid, body.fence, body.result)
        else:
            verbs.fail(tx, guid, body.fence, body.error)
        return seen.one(tx, guid)

    return call.write(work)


def _guid(key: bytes) -> str:
    return str(uuid.UUID(bytes=key[:16], version=4))


def _lease(call: Call) -> timedelta:
    return call.parts.run_lease


def _changed(call: Call, task: str, action: str, verb: Any) -> Response:
    def work(tx: Transaction) -> TaskView:
        guid = seen.found(tx, task).guid
        verb(tx, guid)
        audit.record(tx, action, guid)
        return seen.one(tx, guid)

    return call.write(work)
