"""Which partition to serve next: the tenants take turns, and of a tenant's the one whose oldest task has
waited longest."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count
from typing import NamedTuple

from orchestrator.tasks.heads import Head
from orchestrator.tasks.model import RANK_SHIFT, Lane
from orchestrator.tasks.spread import share_of
from orchestrator.tenancy import DEFAULT_TENANT

Line = tuple[int, Lane]  # partition, lane
NOBODY_KNOWN = -1  # in the place of a tenant: whose partition it is that a hint names


class Waiting(NamedTuple):
    """What stands at a line's head: whose it is, and its age (rank, then arrival): smaller goes first."""

    tenant_id: int
    rank: int
    created_at: datetime

    @property
    def age(self) -> tuple[int, datetime]:
        return self.rank, self.created_at


NEVER_SEEN = Waiting(DEFAULT_TENANT, 0, datetime.min.replace(tzinfo=UTC))


class Lineup:
    """Lines known to hold work, and those at which a thread is already busy. Shared by the threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[Line, Waiting] = {}
        self._busy: set[Line] = set()
        self._hinted: dict[Line, None] = {}  # in the order of their coming, the handing out of jobs first
        self._is_awake = False
        self._turns = count(1)
        self._last_turn: dict[int, int] = {}  # of each tenant

    def busy(self) -> set[int]:
        """The partitions at which a thread is at work."""
        with self._condition:
            return {partition for partition, _ in self._busy}

    def hint(self, partitions: Iterable[int]) -> None:
        """There may be work in these partitions: look, before anything else."""
        with self._condition:
            for partition in partitions:
                for lane in Lane:
                    self._hinted[partition, lane] = None
            self._condition.notify_all()

    def wake(self) -> None:
        with self._condition:
            self._is_awake = True
            self._condition.notify_all()

    def set_heads(self, heads: Iterable[Head]) -> None:
        """What a look at all the lines has found."""
        with self._condition:
            self._waiting = {
                (h.partition, h.lane): Waiting(h.tenant_id, h.position // RANK_SHIFT, h.created_at)
                for h in heads
            }
            self._condition.notify_all()

    def take(self, owned: Iterable[int], seconds: float) -> Line | None:
        """The next line to serve, which no other thread gets until `put_back`; None after `seconds`."""
        allowed = set(owned)
        with self._condition:
            line = self._next(allowed)
            if line is None and not self._is_awake:
                self._condition.wait(seconds)
                line = self._next(allowed)
            self._is_awake = False
            if line is not None:
                self._busy.add(line)
            return line

    def _next(self, allowed: set[int]) -> Line | None:
        best: dict[int, Line] = {}  # of each tenant
        for line, waiting in self._waiting.items():
            if line[0] not in allowed or line in self._busy:
                continue
            other = best.get(waiting.tenant_id)
            if other is None or waiting.age < self._waiting[other].age:
                best[waiting.tenant_id] = line
        hinted = self._next_hinted(allowed, best)
        if hinted is not None:
            best[NOBODY_KNOWN] = hinted
        if not best:
            return None
        # Whose last turn is longest ago; with one tenant, that is its oldest line.
        tenant_id = min(best, key=lambda one: (self._last_turn.get(one, 0), self._age(best[one])))
        self._last_turn[tenant_id] = next(self._turns)
        if tenant_id == NOBODY_KNOWN:
            del self._hinted[best[tenant_id]]
        return best[tenant_id]

    def _age(self, line: Line) -> tuple[int, datetime]:
        return self._waiting.get(line, NEVER_SEEN).age

    def _next_hinted(self, allowed: set[int], waiting_tenants: Iterable[int]) -> Line | None:
        """The first hinted line. While others are known to hold work, only one in which none of their tenants
        has its share: it may be another's, who must not wait for the next look at all the lines."""
        known = [share_of(tenant_id) for tenant_id in waiting_tenants]
        for line in self._hinted:
            if line[0] not in allowed or line in self._busy:
                continue
            if not any(line[0] in share for share in known) and (not known or line not in self._waiting):
                return line
        return None

    def put_back(
        self, line: Line, next_created_at: datetime | None, next_tenant_id: int | None = None
    ) -> None:
        """The line was served; what now stands at its head arrived at `next_created_at` and is a tenant's."""
        with self._condition:
            self._busy.discard(line)
            if next_created_at is None:
                self._waiting.pop(line, None)
            else:
                before = self._waiting.get(line, NEVER_SEEN)
                tenant_id = before.tenant_id if next_tenant_id is None else next_tenant_id
                self._waiting[line] = Waiting(tenant_id, before.rank, next_created_at)
            self._condition.notify()
