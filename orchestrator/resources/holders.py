"""Naming the holder of a lock to people and programs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from orchestrator.resources.locks import Held
from orchestrator.runs.model import Run
from orchestrator.transaction import Transaction

_JOB_OF_RUN = select(Run.job_guid).where(Run.id == bindparam("p_id"))


def describe(tx: Transaction, lock: Held) -> dict[str, Any]:
    """`{"kind": "run", "id": the job's GUID}` or `{"kind": "person", "id": the name}`."""
    if lock.run_id is None:
        return {"kind": "person", "id": lock.person}
    return {"kind": "run", "id": tx.execute(_JOB_OF_RUN, {"p_id": lock.run_id}).scalar()}
