"""A term: the leased period in which one scheduler is the master."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.cluster import lifecycle as cluster
from orchestrator.transaction import Transaction
from orchestrator.wiring import Parts
from scheduler.membership import Membership

MASTER = "master"
Result = TypeVar("Result")


class TermOver(Exception):  # noqa: N818
    """Another scheduler is master now."""


@dataclass
class Term:
    """A leased period of mastership. Every transaction of a duty locks the lease's row and checks `epoch`,
    so that a master that was paused past its term changes nothing afterwards."""

    membership: Membership
    parts: Parts
    epoch: int

    def run(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` in a transaction that counts only if the term still stands. Raises `TermOver`."""

        def fenced(tx: Transaction) -> Result:
            if not cluster.lock_lease(tx, MASTER, self.membership.me.owner, self.epoch):
                raise TermOver
            return work(tx)

        return self.membership.run(fenced)
