"""Forget schedulers and worker nodes that fell silent long ago and will not come back."""

from __future__ import annotations

from datetime import timedelta

from orchestrator.cluster import lifecycle as cluster
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    seconds = term.parts.config.forget_nodes_seconds
    if seconds == 0:
        return {}
    forgotten = term.run(lambda tx: cluster.forget(tx, timedelta(seconds=seconds)))
    return {"forgotten": forgotten} if forgotten else {}
