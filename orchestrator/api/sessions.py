"""REST v1: sessions, opened on worker nodes for robots that are away."""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import WIDEST, Input, Integer, Key, Line
from orchestrator.api.queries import Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.insights import sessions as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.sessions import SessionView
from orchestrator.sessions import lifecycle as verbs
from orchestrator.sessions.lifecycle import Place
from orchestrator.sessions.model import Outcome
from orchestrator.transaction import Transaction

routes = Routes("sessions")


class SessionFilters(Pages):
    """`robot` is its id, its name or its GUID."""

    state: Literal["asked", "open", "closing", "closed"] | None = None
    robot: Text | None = None
    node: Text | None = None
    machine: Text | None = None
    account: Text | None = None


class Opened(Input):
    """`pid` is the agent's process, where the backend knows it."""

    node: Key
    machine: Annotated[Line, Field(max_length=255)] = ""
    backend: Annotated[Line, Field(max_length=40)] = ""
    pid: Annotated[Integer, Field(ge=1, le=WIDEST)] | None = None


class Closed(Input):
    """Why it ended: `reason` is a sentence for people."""

    node: Key
    outcome: Literal["logged_off", "closed", "failed"]
    reason: Annotated[Line, Field(max_length=500)] = ""


@routes.get("/sessions", Policy.VIEWER, query=SessionFilters, answer=Page[SessionView])
def list_sessions(call: Call, query: SessionFilters) -> Response:
    """List sessions, newest first."""
    return call.read(lambda tx: seen.listed(tx, query.chosen(), query.limit, query.cursor, call.digest))


@routes.get("/sessions/<session>", Policy.VIEWER, answer=SessionView)
def get_session(call: Call, session: str) -> Response:
    """Get one session."""
    return call.read(lambda tx: seen.named(tx, session))


@routes.post("/sessions/<session>/close", Policy.OPERATOR, answer=SessionView)
def close_session(call: Call, session: str) -> Response:
    """End a session: its robot is asked to stop, and ended if it does not.

    The node is told within seconds; one that was not begun ends at once.
    """

    def work(tx: Transaction) -> SessionView:
        verbs.close(tx, session)
        return seen.named(tx, session)

    return call.write(work)


@routes.post("/sessions/<session>/opened", Policy.NODE, body=Opened, status=204)
def session_opened(call: Call, session: str, body: Opened) -> Response:
    """For the worker node: the session's agent runs."""
    place = Place(body.machine, body.backend, body.pid)
    return call.write(lambda tx: verbs.opened(tx, session, body.node, place))


@routes.post("/sessions/<session>/closed", Policy.NODE, body=Closed, status=204)
def session_closed(call: Call, session: str, body: Closed) -> Response:
    """For the worker node: the session has ended, or could not be opened."""
    return call.write(lambda tx: verbs.closed(tx, session, body.node, Outcome(body.outcome), body.reason))
