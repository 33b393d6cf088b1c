"""The verbs of resources. So far: what the end of a run means for its locks."""

from __future__ import annotations

from orchestrator.transaction import Transaction


def release_locks_of_job(tx: Transaction, job_id: int) -> None:
    """Release the undated locks of the run that ends. Dated ones stay until their date."""
