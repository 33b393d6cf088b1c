"""Who is told of what after a commit: presence learns of robots, runs and lines, schedulers of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.jobs import moves
from orchestrator.jobs.consume import holds_jobs, targets
from orchestrator.jobs.heartbeat import Beat, RobotSeen
from orchestrator.jobs.moves import JobsOffered, JobWithdrawn, OrderGiven, RunBound, RunEnded
from orchestrator.robots.lifecycle import RobotChanged
from orchestrator.robots.presence import Familiar, Presence, auth_of
from orchestrator.tasks.enqueueing import TasksQueued
from orchestrator.tasks.hints import Hints
from orchestrator.transaction import SYSTEM_TENANT, Transaction, Transactions


def subscribe(transactions: Transactions, presence: Presence, hints: Hints | None) -> None:
    """Wire facts to Redis and Celery. Each delivery may fail: the sweeps make good what is not told."""
    told = _Told(transactions, presence)
    transactions.subscribe(RobotSeen, told.robots_seen)
    transactions.subscribe(JobsOffered, told.jobs_offered)
    transactions.subscribe(JobWithdrawn, told.jobs_withdrawn)
    transactions.subscribe(RunBound, told.runs_bound)
    transactions.subscribe(RunEnded, told.runs_ended)
    transactions.subscribe(OrderGiven, told.orders_given)
    transactions.subscribe(RobotChanged, told.robots_changed)
    if hints is not None:
        transactions.subscribe(TasksQueued, partial(_tasks_queued, hints))


@dataclass(frozen=True)
class _Told:
    """What presence is told of each kind of fact."""

    transactions: Transactions
    presence: Presence

    def robots_seen(self, facts: list[RobotSeen]) -> None:
        for fact in facts:
            self.presence.admit(
                familiar(fact.robot),
                place(fact.beat),
                fact.beat.status,
                fact.job_guid,
                fact.leased,
                fact.order,
                fact.robot.paused_at is not None,
            )

    def jobs_offered(self, facts: list[JobsOffered]) -> None:
        self.presence.mark_lines([line for fact in facts for line in fact.targets])

    def jobs_withdrawn(self, facts: list[JobWithdrawn]) -> None:
        lines = {moves.line_key(fact): fact for fact in facts}
        marks = dict(zip(lines, self.presence.line_marks(list(lines)), strict=True))  # before the look at SQL

        def empty(tx: Transaction) -> list[str]:
            return [line for line, fact in lines.items() if not holds_jobs(tx, fact.tenant_id, fact.target)]

        found = self.transactions.run(empty, tenant_id=SYSTEM_TENANT, read_only=True)
        if found:
            self.presence.clear_lines(found, [marks[line] for line in found])

    def runs_bound(self, facts: list[RunBound]) -> None:
        # The next heartbeat takes the slow way once, and finds in SQL what the robot works on.
        for fact in facts:
            self.presence.bind(fact.robot_id, fact.job_guid)

    def runs_ended(self, facts: list[RunEnded]) -> None:
        for fact in facts:
            self.presence.unbind(fact.robot_id, fact.job_guid)

    def orders_given(self, facts: list[OrderGiven]) -> None:
        self.presence.give_orders((fact.robot_id, fact.job_guid, fact.code) for fact in facts)

    def robots_changed(self, facts: list[RobotChanged]) -> None:
        self.presence.forget(fact.robot_id for fact in facts)


def _tasks_queued(hints: Hints, facts: list[TasksQueued]) -> None:
    hints.send(frozenset[int]().union(*[fact.partitions for fact in facts]))


def familiar(robot: Any) -> Familiar:
    """What a process may remember of a robot's row."""
    return Familiar(robot.id, auth_of(robot), tuple(line(robot, target) for target in targets(robot)))


def line(robot: Any, target: str) -> str:
    """What presence calls the line of this target: of those for any robot each tenant has its own."""
    return f"any:{robot.tenant_id}" if target == "any" else target


def place(beat: Beat) -> str:
    return f"{beat.machine}\n{beat.ip}\n{beat.mac}\n{beat.instance}"
