"""The HTTP of the orchestrator: the robots' protocol and REST v1."""

from __future__ import annotations

from apiflask import APIFlask

from orchestrator.api import robot_protocol
from orchestrator.wiring import Parts


def register(app: APIFlask, parts: Parts) -> None:
    """Add every route of the API, and the layer in front of Flask that answers steady heartbeats."""
    robot_protocol.register(app, parts)
