"""REST v1: the cluster, worker nodes, and the sessions on them."""

from __future__ import annotations

from typing import Literal

from flask import Response

from orchestrator import audit
from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.queries import Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.cluster import lifecycle as verbs
from orchestrator.insights import cluster as seen
from orchestrator.insights.cluster import ClusterView, NodeView, SessionView
from orchestrator.insights.paging import Page
from orchestrator.transaction import Transaction

routes = Routes("cluster")


class SessionFilters(Pages):
    state: Literal["asked", "open", "closing", "closed"] | None = None
    node: Text | None = None


@routes.get("/cluster", Policy.VIEWER, answer=ClusterView)
def get_cluster(call: Call) -> Response:
    """Get the schedulers, their partitions and batches, and who is master."""
    return call.read(lambda tx: _cluster(call, tx))


@routes.post("/cluster/<node>/drain", Policy.ADMIN, answer=ClusterView, status=202)
def drain_node(call: Call, node: str) -> Response:
    """Ask a node to claim nothing more, finish or give back what it holds, and end."""

    def work(tx: Transaction) -> ClusterView:
        verbs.drain(tx, node)
        audit.record(tx, "node.drain", node)
        return _cluster(call, tx)

    return call.write(work)


@routes.get("/nodes", Policy.VIEWER, query=Pages, answer=Page[NodeView])
def list_nodes(call: Call, query: Pages) -> Response:
    """List worker nodes, newest first."""
    return call.read(lambda tx: seen.worker_nodes(tx, query.limit, query.cursor))


@routes.get("/sessions", Policy.VIEWER, query=SessionFilters, answer=Page[SessionView])
def list_sessions(call: Call, query: SessionFilters) -> Response:
    """List the sessions opened on worker nodes, newest first."""
    return call.read(lambda tx: seen.sessions(tx, query.state, query.node, query.limit, query.cursor))


def _cluster(call: Call, tx: Transaction) -> ClusterView:
    return seen.cluster(tx, call.parts.config.scheduler_cluster_size)
