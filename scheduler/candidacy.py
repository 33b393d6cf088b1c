"""Whether this scheduler stands for the master's term: the designated one before all others, some never."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from scheduler.membership import Membership

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
PATIENCE_LEASES = 2.0  # for a designated one that lives and does not take the term
STAND_IN_LEASES = 20.0  # how long one that lost patience then stands, before it yields again


class Candidacy:
    def __init__(self, membership: Membership, setting: str, clock: Callable[[], float] = time.monotonic):
        self._membership = membership
        self._setting = setting
        self._clock = clock
        self._taken_at = self._looked_at = clock()
        self._stands_in_until = float("-inf")

    def stands(self) -> bool:
        """Asked before each transaction of a term: it costs nothing but while it stands back."""
        if self._setting == "0" or self._membership.is_draining:
            return False
        if self._setting == "1" or self._clock() < self._stands_in_until:
            return True
        if self._membership.designated is None:
            self._taken_at = self._clock()
            return True
        return self._is_left_lying(self._membership.designated)

    def _is_left_lying(self, designated: str) -> bool:
        """Whether nobody has had the term for so long that the designated one cannot be well."""
        now, lease = self._clock(), self._membership.lease.total_seconds()
        if now - self._looked_at < LOOK_SECONDS:
            return False
        self._looked_at = now
        if self._membership.run(lambda tx: cluster.holder_of(tx, MASTER), read_only=True) is not None:
            self._taken_at = now
        if now - self._taken_at < PATIENCE_LEASES * lease:
            return False
        log.warning("stands_in", node=self._membership.me.name, designated=designated)
        self._stands_in_until = now + STAND_IN_LEASES * lease
        return True
