"""A term: the leased period in which one scheduler is the master."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.transaction import Transaction
from orchestrator.wiring import Parts
from scheduler.membership import Membership

Result = TypeVar("Result")


class TermOver(Exception):  # noqa: N818
    """Another scheduler is master now, or this one is to end its term: no transaction is begun."""


def _tell_nobody(done: int, total: int | None) -> None:
    pass


@dataclass
class Term:
    """A leased period of mastership. Every transaction of a duty locks the lease's row and checks `epoch`,
    so that a master that was paused past its term changes nothing afterwards.

    A duty may run for as long as it likes if its transactions are short: each renews the lease when a third
    of it has gone, and none is begun once the term `is_ending`. `TermOver` from `run` is for the master to
    catch: let it pass.
    """

    membership: Membership
    parts: Parts
    epoch: int
    is_ending: Callable[[], bool] = lambda: False
    report: Callable[[int, int | None], None] = _tell_nobody
    renewed: float = field(default_factory=time.monotonic)

    @property
    def wants_renewal(self) -> bool:
        return time.monotonic() >= self.renewed + self.membership.lease.total_seconds() / 3

    def run(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` in a transaction that counts only if the term still stands. Raises `TermOver`."""
        if self.is_ending():
            raise TermOver
        began, renewing = time.monotonic(), self.wants_renewal

        def fenced(tx: Transaction) -> Result:
            owner, lease = self.membership.me.owner, self.membership.lease
            if not cluster.lock_lease(tx, MASTER, owner, self.epoch):
                raise TermOver
            if renewing:
                cluster.acquire_lease(tx, MASTER, owner, lease)
            return work(tx)

        result = self.membership.run(fenced)
        if renewing:
            self.renewed = began
        return result

    def progress(self, done: int, total: int | None = None) -> None:
        """For a long duty, between its transactions: it has done `done` of `total` (None: nobody knows).

        People see it in `GET /api/v1/cluster`, at most two seconds late. Call it as often as you like.
        """
        self.report(done, total)
