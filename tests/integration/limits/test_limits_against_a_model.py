"""Whatever happens in whatever order, a robot gets the first job that may begin: a plain model says which.

The model is a list of jobs and a subtraction. What is under test beside the counting is the stepping aside:
each event that makes room must put back whom it lets begin, or the job is overlooked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from orchestrator.jobs import limiting, recovery
from orchestrator.jobs.model import HeldLine, Job
from orchestrator.jobs.states import Status
from orchestrator.limits import semaphores
from orchestrator.limits.model import Permit, Requirement, Semaphore
from orchestrator.limits.semaphores import NewSemaphore
from orchestrator.runs.model import Run
from orchestrator.tasks.model import Task
from tests.integration.conftest import on
from tests.integration.scene import Scene

SEMAPHORES = ("SAP", "mail")
NEEDS: tuple[dict[str, int], ...] = ({}, {"SAP": 1}, {"mail": 1}, {"SAP": 2}, {"SAP": 1, "mail": 1})
PROCESSES = ("p0", "p1", "p2")
ENDS = ("success", "failure", "stop", "lost")


@dataclass
class Model:
    permits: dict[str, int]
    needs: dict[str, dict[str, int]]
    waiting: dict[str, tuple[int, int, str]] = field(default_factory=dict)  # rank, number, process
    running: dict[str, dict[str, int]] = field(default_factory=dict)  # what each holds

    def held(self, name: str) -> int:
        return sum(needs.get(name, 0) for needs in self.running.values())

    def may_begin(self, process: str) -> bool:
        return all(
            self.held(name) + count <= self.permits[name] for name, count in self.needs[process].items()
        )

    def next(self) -> str | None:
        able = [guid for guid, (_, _, process) in self.waiting.items() if self.may_begin(process)]
        return min(able, key=self.waiting.__getitem__, default=None)


class House:
    """The product and the model, moved together."""

    def __init__(self, scene: Scene, robots: list[Any]) -> None:
        self.scene, self.robots, self.made = scene, robots, 0
        for table in (Job, Task, Run, Permit, HeldLine, Requirement, Semaphore):
            scene.run(lambda tx, table=table: tx.execute(delete(table)))
        for name in SEMAPHORES:
            scene.run(lambda tx, name=name: semaphores.create(tx, NewSemaphore(name, 1)))
        self.model = Model(dict.fromkeys(SEMAPHORES, 1), {process: {} for process in PROCESSES})
        self.busy: dict[int, str] = {}
        for number, process in enumerate(PROCESSES):
            self.require(number, number + 1)
            assert self.model.needs[process]

    def create(self, process: int, rank: int) -> None:
        self.scene.process = PROCESSES[process % 3]
        (guid,) = self.scene.pending(priority=100 - 10 * rank)
        self.made += 1
        self.model.waiting[guid] = (10 * rank, self.made, self.scene.process)

    def consume(self, robot: int, _: int) -> None:
        robot %= len(self.robots)
        if robot in self.busy:
            return
        expected = self.model.next()
        job = self.scene.consume(self.robots[robot]).job
        assert (job.guid if job else None) == expected
        if expected is not None:
            self.scene.report(self.robots[robot], expected, Status.IN_PROGRESS)
            _, _, process = self.model.waiting.pop(expected)
            self.model.running[expected] = self.model.needs[process]
            self.busy[robot] = expected

    def end(self, robot: int, how: int) -> None:
        robot %= len(self.robots)
        guid = self.busy.pop(robot, None)
        if guid is None:
            return
        del self.model.running[guid]
        name = ENDS[how % 4]
        if name == "lost":
            job = self.scene.job(guid)
            self.scene.run(lambda tx: recovery.lose(tx, job, "robot_lost", "It fell silent."))
            return
        if name == "stop":
            self.scene.stop(guid)
        status = {"success": Status.SUCCESS, "failure": Status.FAILED, "stop": Status.STOPPED}[name]
        self.scene.report(self.robots[robot], guid, status)

    def cancel(self, number: int, _: int) -> None:
        guids = sorted(self.model.waiting, key=self.model.waiting.__getitem__)
        if guids:
            guid = guids[number % len(guids)]
            self.scene.stop(guid)
            del self.model.waiting[guid]

    def permits(self, which: int, count: int) -> None:
        name = SEMAPHORES[which % 2]
        self.scene.run(lambda tx: limiting.change_semaphore(tx, name, permits=count))
        self.model.permits[name] = count

    def require(self, which: int, needs: int) -> None:
        process, wanted = PROCESSES[which % 3], NEEDS[needs % 5]
        self.scene.run(lambda tx: limiting.limit_process(tx, process, semaphores=wanted))
        self.model.needs[process] = dict(wanted)

    def check(self) -> None:
        held = self.scene.run(lambda tx: tx.execute(select(func.sum(Permit.permits))).scalar())
        assert int(held or 0) == sum(self.model.held(name) for name in SEMAPHORES)


STEPS = st.one_of(
    st.tuples(st.just("create"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("consume"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("consume"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("end"), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("permits"), st.integers(0, 1), st.integers(0, 3)),
)  # fmt: skip


@on("sqlite")
def test_a_robot_gets_the_first_job_that_may_begin(scene: Scene) -> None:
    for process in PROCESSES:
        scene.publish(process)
    robots = [scene.robot(f"r{number}") for number in range(4)]

    @settings(
        max_examples=20,
        deadline=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=3),
        st.lists(STEPS, min_size=15, max_size=35),
    )
    def interleaved(needs: list[tuple[int, int]], steps: list[tuple[str, int, int]]) -> None:
        house = House(scene, robots)
        for which, wanted in needs:
            house.require(which, wanted)
        for name, one, two in steps:
            getattr(house, name)(one, two)
        house.check()
        for robot in range(4):
            house.end(robot, 0)
            house.consume(robot, 0)
        house.check()

    interleaved()
