"""Celery's own command, as an operator or Flower sees the cluster through the broker."""

import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance.cluster.cluster import Cluster

CELERY = str(Path(sys.executable).parent / "celery")


def celery(cluster: Cluster, *arguments: str, wanted: tuple[int, ...] = (0,)) -> str:
    """What the command prints for this cluster; AssertionError when it ends with no status of `wanted`."""
    command = [CELERY, "--config", "celeryconfig", *arguments]
    ran = subprocess.run(
        command, env=cluster.environment(), cwd=cluster.folder, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode in wanted, ran.stdout + ran.stderr
    return ran.stdout


def answering(cluster: Cluster) -> set[str]:
    """The nodes, without their hosts, that answer Celery's ping."""
    told = json.loads(celery(cluster, "inspect", "--timeout", "3", "--json", "ping"))
    return {node.partition("@")[0] for node, answer in told.items() if answer == {"ok": "pong"}}
