"""REST v1: worker nodes, which register here every few seconds and are told what to do."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from flask import Response
from pydantic import ConfigDict, Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import WIDEST, Guid, Input, Integer, Line
from orchestrator.api.queries import Pages, Query, Text
from orchestrator.api.routes import Routes
from orchestrator.cluster import worker_nodes
from orchestrator.cluster.lifecycle import WORKER, NodeIdentity
from orchestrator.cluster.surroundings import told
from orchestrator.errors import Invalid
from orchestrator.insights import nodes as seen
from orchestrator.insights.nodes import NodeView
from orchestrator.insights.paging import Page
from orchestrator.sessions import nodes as sessions_of_node
from orchestrator.sessions.nodes import Orders
from orchestrator.transaction import Transaction

routes = Routes("nodes")

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"  # it stands in paths, in queue names and in Celery's host names
MOST_BYTES = 2**63 - 1
LONGEST_SKEW = 1e12  # seconds: any clock that can be set
ShortLine = Annotated[Line, Field(min_length=1, max_length=120)]


class NodeIn(Input):
    """What a worker node says of itself. `incarnation` is new at each start; `replaces` is an earlier one
    that the node has found to be dead; `sessions` are the ids of those that it holds; `free_bytes` is the
    room on its disk, and `clock_ahead_seconds` how far its clock is ahead of the `now` of the last answer.
    What a newer version of a node says beyond this is passed over: a node may be upgraded before its server.
    """

    model_config = ConfigDict(extra="ignore")

    incarnation: Guid
    replaces: Guid | None = None
    host: Annotated[Line, Field(min_length=1, max_length=255)]
    pid: Annotated[Integer, Field(ge=1, le=WIDEST)]
    working_path: Annotated[Line, Field(max_length=1000)] = ""
    version: Annotated[Line, Field(max_length=40)] = ""
    activities: Annotated[list[ShortLine], Field(max_length=1000)] = Field(default_factory=list)
    backends: Annotated[list[ShortLine], Field(max_length=100)] = Field(default_factory=list)
    slots: Annotated[Integer, Field(ge=0, le=10_000)] = 0
    free_slots: Annotated[Integer, Field(ge=0, le=10_000)] = 0
    sessions: Annotated[list[Guid], Field(max_length=1000)] = Field(default_factory=list)
    free_bytes: Annotated[Integer, Field(ge=0, le=MOST_BYTES)] | None = None
    clock_ahead_seconds: Annotated[float, Field(ge=-LONGEST_SKEW, le=LONGEST_SKEW)] | None = None

    def identity(self, name: str) -> NodeIdentity:
        return NodeIdentity(
            name=name,
            kind=WORKER,
            host=self.host,
            pid=self.pid,
            working_path=self.working_path,
            version=self.version,
            incarnation=self.incarnation,
        )


class NodeFilters(Pages):
    name: Text | None = None
    state: Literal["up", "draining", "lost"] | None = None


class Leaving(Query):
    incarnation: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]


@routes.put("/nodes/<node>", Policy.NODE, body=NodeIn, answer=Orders)
def register_node(call: Call, node: str, body: NodeIn) -> Response:
    """Register a worker node, or say that it lives.

    To be repeated each third of the lease that is answered. Refused with 409 while another process has the
    name.
    """
    _check_name(node)
    able = body.model_dump(include={"activities", "backends", "slots", "free_slots"})
    least_bytes = call.parts.config.least_free_bytes
    around = told(body.working_path, body.free_bytes, body.clock_ahead_seconds, least_bytes).as_json()

    def work(tx: Transaction) -> Orders:
        return sessions_of_node.keep(tx, body.identity(node), able, body.sessions, body.replaces, around)

    return call.write(work)


def _check_name(node: str) -> None:
    if re.fullmatch(NAME, node) is None:
        raise Invalid.field("node", "a node's name is 1 to 100 letters, digits, dots, dashes and underscores")


@routes.delete("/nodes/<node>", Policy.NODE, query=Leaving, status=204)
def unregister_node(call: Call, node: str, query: Leaving) -> Response:
    """Say that a worker node has ended. A name that has passed to another process stays taken."""
    return call.write(lambda tx: sessions_of_node.leave(tx, node, query.incarnation))


@routes.get("/nodes", Policy.VIEWER, query=NodeFilters, answer=Page[NodeView])
def list_nodes(call: Call, query: NodeFilters) -> Response:
    """List worker nodes, newest first."""
    return call.read(lambda tx: seen.listed(tx, query.name, query.state, query.limit, query.cursor))


@routes.get("/nodes/<node>", Policy.VIEWER, answer=NodeView)
def get_node(call: Call, node: str) -> Response:
    """Get one worker node."""
    return call.read(lambda tx: seen.named(tx, node))


@routes.post("/nodes/<node>/drain", Policy.OPERATOR, answer=NodeView, status=202)
def drain_worker_node(call: Call, node: str) -> Response:
    """Let a worker node take no more work, finish what it has begun, and end."""

    def work(tx: Transaction) -> NodeView:
        worker_nodes.drain(tx, node)
        return seen.named(tx, node)

    return call.write(work)
