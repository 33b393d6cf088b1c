"""Which partitions a tenant's tasks go to: its share of them, so that no tenant waits behind another.

Within a partition the order of arrival holds, whoever's the tasks are. So where two tenants shared all the
partitions, a single task of the one would stand behind the whole backlog of the other, whatever the
schedulers did. The default tenant, in most installations the only one, has half of the partitions; the
others have a pair each. From the 17th on two share a pair.

A share depends on the tenant's id alone: no process need know how many tenants there are, and a new one
finds its partitions free. Tasks with an ordering key stay in the partition of their key, whosever they are,
because a key that changed its partition would lose its order.
"""

from __future__ import annotations

import random
import threading
import zlib

from orchestrator.tasks.model import PARTITIONS
from orchestrator.tenancy import DEFAULT_TENANT

HALF = PARTITIONS // 2
PAIR = 2


def partition_of(ordering_key: str) -> int:
    return zlib.crc32(ordering_key.encode()) % PARTITIONS


def share_of(tenant_id: int) -> range:
    """The partitions that a tenant's tasks without an ordering key go to."""
    if tenant_id == DEFAULT_TENANT:
        return range(HALF)
    first = HALF + (tenant_id - DEFAULT_TENANT - 1) * PAIR % HALF
    return range(first, first + PAIR)


class Spread:
    """Partitions of a share in turn: a block of tasks to one, the next block to its neighbour.

    A block is a batch long, so that what arrives together is claimed together and, with one scheduler,
    the whole is in order of arrival to within a batch; neighbouring partitions are at home with different
    schedulers, so that a long list keeps several of them busy.
    """

    BLOCK = 10

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin = random.randrange(PARTITIONS)  # noqa: S311  (where to begin is no secret)
        self._given: dict[int, int] = {}

    def next(self, tenant_id: int) -> int:
        share = share_of(tenant_id)
        with self._lock:
            given = self._given.get(tenant_id, 0)
            self._given[tenant_id] = given + 1
            return share[(self._begin + given // self.BLOCK) % len(share)]
