"""Whatever happens in whatever order, a claim takes exactly the first n of the line: against a plain model.

The line in Python is a sorted list. What is under test beside the claim is its cursor: each way in which a
task can come into the line must tell the owner to go back, or the task is overlooked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks import partitions, recovery
from orchestrator.tasks.claim import ClaimedTask, Ownership, claim
from orchestrator.tasks.claimed import release
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.model import Lane, Partition, Task, TaskKind, TaskStatus
from orchestrator.tasks.spread import partition_of
from tests.integration.conftest import on
from tests.integration.scene import LEASE, Scene

KEY = "one line"
HERE = partition_of(KEY)

Place = tuple[int, int]  # rank, seq: the order of the line


@dataclass
class Model:
    queued: dict[str, Place]
    postponed: dict[str, Place]
    claimed: dict[str, Place]
    cancelled: dict[str, Place]

    def first(self, count: int) -> list[str]:
        return sorted(self.queued, key=self.queued.__getitem__)[:count]

    def pick(self, among: dict[str, Place], number: int) -> str | None:
        guids = sorted(among, key=among.__getitem__)
        return guids[number % len(guids)] if guids else None


class Line:
    """The product's line and the model's, moved together."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.model, self.owners = scene, Model({}, {}, {}, {}), 0
        self.held: dict[str, ClaimedTask] = {}
        scene.run(lambda tx: tx.execute(delete(Task)))
        scene.run(lambda tx: tx.execute(update(Partition).values(owner="", lease_until=None)))
        self.owned = self.take_over()

    def take_over(self) -> Ownership:
        self.owners += 1
        past = self.scene.past()
        self.scene.run(
            lambda tx: tx.execute(update(Partition).where(Partition.id == HERE).values(lease_until=past))
        )
        (owned,) = self.scene.own([HERE], f"s{self.owners}")
        return owned

    def enqueue(self, rank: int, later: int) -> None:
        not_before = self.scene.past(-3600) if later == 0 else None
        task = NewTask(
            TaskKind.ACTIVITY, ordering_key=KEY, rank=rank, not_before=not_before, max_attempts=1000
        )
        ((_, seq),) = self.scene.run(lambda tx: enqueue(tx, [task]))
        (self.model.postponed if not_before else self.model.queued)[task.guid] = (rank, seq)

    def claim(self, count: int, _: int) -> None:
        batch = self.scene.claim(self.owned, count)
        expected = self.model.first(count)
        assert [task.guid for task in batch.tasks] == expected
        assert (batch.next_created_at is not None) == (len(self.model.queued) > len(expected))
        for task in batch.tasks:
            self.model.claimed[task.guid] = self.model.queued.pop(task.guid)
            self.held[task.guid] = task

    def claim_rolled_back(self, count: int, _: int) -> None:
        self.scene.trial(lambda tx: claim(tx, self.owned, Lane.WORKER, count, LEASE))

    def claim_with_answer_lost(self, count: int, _: int) -> None:
        def lost(tx: Any) -> None:
            claim(tx, self.owned, Lane.WORKER, count, LEASE)
            tx.effects.clear()

        self.scene.run(lost)
        for guid in self.model.first(count):
            self.model.claimed[guid] = self.model.queued.pop(guid)
            row = self.scene.task(guid)
            self.held[guid] = ClaimedTask(
                row.id, 1, guid, row.kind, 0, "", row.fence, row.attempt, row.seq, row.position, HERE
            )

    def release(self, number: int, _: int) -> None:
        if guid := self.model.pick(self.model.claimed, number):
            self.scene.run(lambda tx: release(tx, [self.held[guid]], Lane.WORKER))
            self.model.queued[guid] = self.model.claimed.pop(guid)

    def fail(self, number: int, _: int) -> None:
        """Begun, failed, and to be tried again later."""
        if guid := self.model.pick(self.model.claimed, number):
            fence = self.held[guid].fence
            self.scene.run(lambda tx: tasks.start(tx, guid, fence, "n1", LEASE))
            self.scene.run(lambda tx: tasks.fail(tx, guid, fence, "it broke"))
            self.model.postponed[guid] = self.model.claimed.pop(guid)

    def lapse(self, number: int, _: int) -> None:
        if guid := self.model.pick(self.model.claimed, number):
            self.scene.set_task(guid, lease_until=self.scene.past())
            self.scene.run(lambda tx: recovery.lapse(tx, [HERE]))
            self.model.queued[guid] = self.model.claimed.pop(guid)

    def cancel(self, number: int, among: int) -> None:
        places = (self.model.queued, self.model.postponed, self.model.claimed)[among % 3]
        if guid := self.model.pick(places, number):
            self.scene.run(lambda tx: tasks.cancel(tx, guid))
            self.model.cancelled[guid] = places.pop(guid)

    def retry(self, number: int, _: int) -> None:
        if guid := self.model.pick(self.model.cancelled, number):
            self.scene.run(lambda tx: tasks.retry(tx, guid))
            self.model.queued[guid] = self.model.cancelled.pop(guid)

    def promote(self, number: int, _: int) -> None:
        if guid := self.model.pick(self.model.postponed, number):
            self.scene.set_task(guid, not_before=self.scene.past())
            assert self.scene.run(lambda tx: recovery.promote_due(tx, [HERE])) == 1
            self.model.queued[guid] = self.model.postponed.pop(guid)

    def adopt(self, _number: int, _: int) -> None:
        self.owned = self.take_over()
        self.model.queued |= self.model.claimed
        self.model.claimed = {}

    def renew(self, _number: int, _: int) -> None:
        self.scene.run(lambda tx: partitions.renew(tx, self.owned.owner, timedelta(seconds=30)))

    def check(self) -> None:
        rows = self.scene.run(lambda tx: tx.execute(select(Task.guid, Task.status)).all())
        by_status = {
            TaskStatus.QUEUED: self.model.queued,
            TaskStatus.POSTPONED: self.model.postponed,
            TaskStatus.CLAIMED: self.model.claimed,
            TaskStatus.CANCELLED: self.model.cancelled,
        }
        assert {(row.guid, row.status) for row in rows} == {
            (guid, status.value) for status, guids in by_status.items() for guid in guids
        }


MOVES = ("release", "fail", "lapse", "cancel", "retry", "promote", "adopt", "renew")
STEPS = st.one_of(
    st.tuples(st.just("enqueue"), st.sampled_from([0, 50, 99, 100, 100, 100]), st.integers(0, 4)),
    st.tuples(st.sampled_from(["claim", "claim_rolled_back", "claim_with_answer_lost"]),
              st.integers(1, 4), st.just(0)),
    st.tuples(st.sampled_from(MOVES), st.integers(0, 5), st.integers(0, 5)),
)  # fmt: skip


@on("sqlite")
def test_a_claim_takes_exactly_the_first_of_the_line(scene: Scene) -> None:
    @settings(
        max_examples=50,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],  # the steps of a failure are short enough as they are
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(STEPS, min_size=20, max_size=40))
    def interleaved(steps: list[tuple[str, int, int]]) -> None:
        line = Line(scene)
        for name, one, two in steps:
            getattr(line, name)(one, two)
        line.claim(100, 0)
        line.check()

    interleaved()
