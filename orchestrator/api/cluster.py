"""REST v1: the cluster of schedulers."""

from __future__ import annotations

from flask import Response

from orchestrator import audit
from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.routes import Routes
from orchestrator.cluster import lifecycle as verbs
from orchestrator.insights import cluster as seen
from orchestrator.insights.cluster import ClusterView
from orchestrator.transaction import Transaction

routes = Routes("cluster")


@routes.get("/cluster", Policy.VIEWER, answer=ClusterView)
def get_cluster(call: Call) -> Response:
    """Get the schedulers, their partitions and batches, and who is master."""
    return call.read(lambda tx: _cluster(call, tx))


@routes.post("/cluster/<node>/drain", Policy.OPERATOR, answer=ClusterView, status=202)
def drain_node(call: Call, node: str) -> Response:
    """Ask a node to claim nothing more, finish or give back what it holds, and end."""

    def work(tx: Transaction) -> ClusterView:
        verbs.drain(tx, node)
        audit.record(tx, "node.drain", node)
        return _cluster(call, tx)

    return call.write(work)


def _cluster(call: Call, tx: Transaction) -> ClusterView:
    config = call.parts.config
    return seen.cluster(tx, config.scheduler_cluster_size, config.maintenance_window_given)
