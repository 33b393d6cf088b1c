"""REST v1: queues of resources."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import WIDEST, Input, Integer, Line, Name
from orchestrator.api.queries import Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.insights import resources as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.resources import QueueView
from orchestrator.resources import queues as verbs
from orchestrator.resources.queues import NewQueue
from orchestrator.transaction import Transaction

routes = Routes("queues")
Minutes = Annotated[Integer, Field(ge=1, le=WIDEST)]


class QueuePolicy(Input):
    """What becomes of a resource that fails, or whose run does not finish it; and what a queue is for."""

    description: Annotated[Line, Field(max_length=1000)] = ""
    json_schema: dict[str, Any] | None = None
    on_duplicate: Literal["refuse", "return"] = "refuse"
    on_lost: Literal["new", "error"] = "new"
    max_attempts: Annotated[Integer, Field(ge=1, le=1000)] = 3
    retry_application_errors: bool = False
    retry_business_errors: bool = False
    retry_delay_seconds: Annotated[Integer, Field(ge=0, le=30 * 24 * 3600)] = 0
    retry_backoff: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 2.0
    abandon_new_minutes: Minutes | None = None
    abandon_in_progress_minutes: Minutes | None = None


class QueueIn(QueuePolicy):
    """A queue and its policy: what becomes of a resource that fails, or whose run does not finish it."""

    name: Name


class QueueChange(QueuePolicy):
    """What is to change; what is left out stays."""

    name: Name = ""


class QueueFilters(Pages):
    name: Text | None = None


@routes.post("/queues", Policy.OPERATOR, body=QueueIn, answer=QueueView, status=201)
def create_queue(call: Call, body: QueueIn) -> Response:
    """Create a queue."""
    new = NewQueue(**dict(body))

    def work(tx: Transaction) -> QueueView:
        verbs.create(tx, new)
        return seen.queue_view(tx, verbs.existing(tx, new.name))

    return call.write(work)


@routes.get("/queues", Policy.VIEWER_OR_ROBOT, query=QueueFilters, answer=Page[QueueView])
def list_queues(call: Call, query: QueueFilters) -> Response:
    """List queues, newest first."""
    return call.read(lambda tx: seen.queues_listed(tx, query.name, query.limit, query.cursor))


@routes.get("/queues/<queue>", Policy.VIEWER_OR_ROBOT, answer=QueueView)
def get_queue(call: Call, queue: str) -> Response:
    """Get a queue by its id or name."""
    return call.read(lambda tx: seen.queue_view(tx, verbs.existing(tx, queue)))


@routes.patch("/queues/<queue>", Policy.OPERATOR, body=QueueChange, answer=QueueView)
def change_queue(call: Call, queue: str, body: QueueChange) -> Response:
    """Change a queue's name, description or policy."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}

    def work(tx: Transaction) -> QueueView:
        public_id = verbs.change(tx, queue, **changes)
        return seen.queue_view(tx, verbs.existing(tx, public_id))

    return call.write(work)


@routes.delete("/queues/<queue>", Policy.OPERATOR, status=204)
def delete_queue(call: Call, queue: str) -> Response:
    """Delete an empty queue."""
    return call.write(lambda tx: verbs.remove(tx, queue))
