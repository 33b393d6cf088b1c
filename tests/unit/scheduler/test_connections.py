"""How many connections to the database a scheduler may have: one for each of its threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: the module sets up the logs of the process that it is loaded in.
COUNT = """
from orchestrator.config import Config
from scheduler.node import SchedulerNode

node = SchedulerNode.open(Config.load())
print(node.parts.transactions.engine.pool.size(), len(node.threads))
"""


@pytest.mark.parametrize(("threads", "given", "more"), [(8, "5", 1), (1, "30", 25)])
def test_no_thread_of_a_scheduler_waits_for_a_connection(
    tmp_path: Path, threads: int, given: str, more: int
) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3",
        "REDIS_URL": f"unix://{tmp_path}/none.sock",
        "BOTSWAIN_SECRET_KEY": "k" * 40,
        "SCHEDULER_WORKING_PATH": str(tmp_path / "work"),
        "SCHEDULER_THREADS": str(threads),
        "BOTSWAIN_DB_POOL_SIZE": given,
    }
    told = subprocess.run(
        [sys.executable, "-c", COUNT], env=os.environ | settings, capture_output=True, text=True, check=True
    )
    connections, running = map(int, told.stdout.split())
    assert connections == running + more  # the one that ends the others comes to them
