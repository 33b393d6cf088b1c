"""Naming claimed tasks to worker nodes, again each two seconds until one begins: a message may be lost.

At most a batch is under way to the nodes at a time. Work waits in SQL, where it can be seen, reordered and
cancelled, and not in the broker; and while no worker node lives, nothing is sent at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from sqlalchemy import select

from orchestrator import failpoints
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.tasks.claimed import postpone, release
from orchestrator.tasks.hints import Hints, node_queue
from orchestrator.tasks.model import Lane, Task, TaskStatus
from orchestrator.transaction import Transaction
from scheduler.membership import Membership

ACTIVITIES = "activities"
REPEAT_SECONDS = 2.0
GIVE_BACK_SECONDS = 10.0


class HandingOver:
    def __init__(self, membership: Membership, hints: Hints) -> None:
        self._membership = membership
        self._hints = hints
        self._lock = threading.Lock()
        self._under_way: dict[int, tuple[ClaimedTask, float]] = {}

    def room(self, limit: int) -> int:
        """How many more may be claimed for worker nodes now."""
        if not self._membership.workers:
            return 0
        with self._lock:
            return limit - len(self._under_way)

    def hand_over(self, batch: Sequence[ClaimedTask]) -> None:
        reachable = [task for task in batch if not task.node or task.node in self._membership.workers]
        away = [task for task in batch if task not in reachable]
        if away:
            self._membership.run(lambda tx: postpone(tx, away, Lane.WORKER))
        with self._lock:
            self._under_way |= {task.id: (task, time.monotonic()) for task in reachable}
        for task in reachable:
            self._send(task)

    def _send(self, task: ClaimedTask) -> None:
        failpoints.reached("before_handing_over")
        self._hints.perform(node_queue(task.node) if task.node else ACTIVITIES, task.guid, task.fence)

    def sweep(self) -> None:
        """Forget what has begun; name the rest again; give back what nobody begins."""
        with self._lock:
            under_way = dict(self._under_way)
        if not under_way:
            return
        waiting = self._membership.run(lambda tx: _still_claimed(tx, list(under_way)), read_only=True)
        with self._lock:
            for task_id in under_way.keys() - waiting:
                self._under_way.pop(task_id, None)
        old = [task for task, since in under_way.values() if time.monotonic() - since > GIVE_BACK_SECONDS]
        late = [task for task in old if task.id in waiting]
        self.give_back(late)
        for task_id in waiting - {task.id for task in late}:
            task, since = under_way[task_id]
            if time.monotonic() - since > REPEAT_SECONDS:
                self._send(task)

    def give_back(self, late: Sequence[ClaimedTask] | None = None) -> None:
        """To their old places in line: those that are late, or, when the node ends, all."""
        with self._lock:
            chosen = [task for task, _ in self._under_way.values()] if late is None else list(late)
        if chosen:
            self._membership.run(lambda tx: release(tx, chosen, Lane.WORKER))
        with self._lock:
            for task in chosen:
                self._under_way.pop(task.id, None)


def _still_claimed(tx: Transaction, ids: list[int]) -> set[int]:
    query = select(Task.id).where(Task.id.in_(ids), Task.status == TaskStatus.CLAIMED.value)
    return set(tx.execute(query).scalars())
