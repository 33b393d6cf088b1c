"""Why a job is where it is."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.insights import jobs as seen
from orchestrator.jobs.states import STATE_NAMES, Status
from orchestrator.robots.presence import Presence
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class Reason:
    """`code` is stable and for programs, `text` a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Explanation:
    status: int
    state: str
    reasons: list[Reason]


def job(tx: Transaction, guid: str, presence: Presence) -> Explanation:
    found = seen.found(tx, guid)
    return Explanation(found.status, STATE_NAMES[Status(found.status)], [])
