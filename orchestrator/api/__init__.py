"""The HTTP of the orchestrator: the robots' protocol and REST v1."""

from __future__ import annotations

from apiflask import APIFlask

from orchestrator.api import auth, jobs, problems, processes, robot_protocol, robots
from orchestrator.wiring import Parts

NOUNS = (robots, processes, jobs)


def register(app: APIFlask, parts: Parts) -> None:
    """Add every route of the API, and the layer in front of Flask that answers steady heartbeats."""
    problems.register(app)
    auth.register(app, parts)
    for noun in NOUNS:
        noun.routes.register(app, parts)
    robot_protocol.register(app, parts)
