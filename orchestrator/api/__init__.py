"""The HTTP of the orchestrator: the robots' protocol and REST v1."""

from __future__ import annotations

from functools import cache, partial

from flask import Flask

from orchestrator.api import (
    access,
    auth,
    calendars,
    calls,
    cluster,
    jobs,
    limits,
    nodes,
    openapi,
    operations,
    problems,
    processes,
    queues,
    resource_access,
    resource_batches,
    resources,
    robot_protocol,
    robots,
    sessions,
    tasks,
    trigger_secrets,
    triggers,
)
from orchestrator.api.resource_batches import ResourceBatches
from orchestrator.api.sherpa import queues as sherpa_queues
from orchestrator.api.sherpa import tasks as sherpa_tasks
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.api.whole_body import WholeBody
from orchestrator.wiring import Parts

NOUNS = (
    robots,
    processes,
    jobs,
    limits,
    queues,
    resources,
    triggers,
    calendars,
    tasks,
    cluster,
    nodes,
    sessions,
    access,
    operations,
    trigger_secrets,
    calls,
    sherpa_tasks,
    sherpa_queues,
)


def register(app: Flask, parts: Parts) -> None:
    """Add every route of the API, and the layer in front of Flask that answers steady heartbeats."""
    problems.register(app)
    operations.watch(app, parts)
    auth.register(app, parts)
    known = [operation for noun in NOUNS for operation in noun.routes.register(app, parts)]
    # Made when it is first asked for: it takes longer than all the rest of a start.
    app.extensions[operations.OPENAPI] = cache(partial(openapi.encoded, known))
    room = WaitingRoom(parts.config.redis_url, parts.config.waiting_capacity)
    app.extensions[resource_access.ROOM] = room
    app.extensions[resource_batches.EXTENSION] = ResourceBatches(parts)
    robot_protocol.register(app, parts, room)
    largest = max(parts.config.max_body_bytes, parts.config.max_package_bytes + processes.FORM_ROOM)
    app.wsgi_app = WholeBody(app.wsgi_app, largest)  # type: ignore[method-assign]
