"""Naming the holder of a lock to people and programs."""

from __future__ import annotations

from typing import Any

from orchestrator.resources.locks import Held
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction


def describe(tx: Transaction, lock: Held) -> dict[str, Any]:
    """`{"kind": "run", "id": the job's GUID}` or `{"kind": "person", "id": the name}`."""
    if lock.run_id is None:
        return {"kind": "person", "id": lock.person}
    return {"kind": "run", "id": runs.job_guids(tx, [lock.run_id]).get(lock.run_id)}
