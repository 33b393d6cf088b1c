"""The pages for people."""

from __future__ import annotations

from apiflask import APIFlask

from orchestrator.wiring import Parts


def register(app: APIFlask, parts: Parts) -> None:
    """Add the console's pages to the application."""
