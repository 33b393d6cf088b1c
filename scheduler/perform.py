"""Doing what the scheduler itself does with claimed tasks: hand jobs out."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.jobs.dispatch import dispatch
from orchestrator.tasks.claim import ClaimedTask
from scheduler.membership import Membership


def perform(membership: Membership, batch: Sequence[ClaimedTask]) -> None:
    """The batch in one transaction, in order."""
    membership.run(lambda tx: dispatch(tx, batch))
