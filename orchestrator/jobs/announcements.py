"""Who is told of what after a commit: presence learns of robots, runs and lines, schedulers of tasks."""

from __future__ import annotations

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

    def robots_seen(facts: list[RobotSeen]) -> None:
        for fact in facts:
            presence.admit(
                familiar(fact.robot),
                place(fact.beat),
                fact.beat.status,
                fact.job_guid,
                fact.leased,
                fact.order,
                fact.robot.paused_at is not None,
            )

    def jobs_offered(facts: list[JobsOffered]) -> None:
        presence.mark_lines([line for fact in facts for line in fact.targets])

    def jobs_withdrawn(facts: list[JobWithdrawn]) -> None:
        lines = {moves.line_key(fact): fact for fact in facts}
        marks = dict(zip(lines, presence.line_marks(list(lines)), strict=True))  # before the look at SQL

        def empty(tx: Transaction) -> list[str]:
            return [line for line, fact in lines.items() if not holds_jobs(tx, fact.tenant_id, fact.target)]

        found = transactions.run(empty, tenant_id=SYSTEM_TENANT, read_only=True)
        if found:
            presence.clear_lines(found, [marks[line] for line in found])

    def runs_bound(facts: list[RunBound]) -> None:
        # The next heartbeat takes the slow way once, and finds in SQL what the robot works on.
        for fact in facts:
            presence.bind(fact.robot_id, fact.job_guid)

    def runs_ended(facts: list[RunEnded]) -> None:
        for fact in facts:
            presence.unbind(fact.robot_id, fact.job_guid)

    def orders_given(facts: list[OrderGiven]) -> None:
        presence.give_orders((fact.robot_id, fact.job_guid, fact.code) for fact in facts)

    def robots_changed(facts: list[RobotChanged]) -> None:
        presence.forget(fact.robot_id for fact in facts)

    transactions.subscribe(RobotSeen, robots_seen)
    transactions.subscribe(JobsOffered, jobs_offered)
    transactions.subscribe(JobWithdrawn, jobs_withdrawn)
    transactions.subscribe(RunBound, runs_bound)
    transactions.subscribe(RunEnded, runs_ended)
    transactions.subscribe(OrderGiven, orders_given)
    transactions.subscribe(RobotChanged, robots_changed)
    if hints is not None:
        send = hints.send

        def tasks_queued(facts: list[TasksQueued]) -> None:
            send(frozenset[int]().union(*[fact.partitions for fact in facts]))

        transactions.subscribe(TasksQueued, tasks_queued)


def familiar(robot: Any) -> Familiar:
    """What a process may remember of a robot's row."""
    lines = [f"any:{robot.tenant_id}" if line == "any" else line for line in targets(robot)]
    return Familiar(robot.id, auth_of(robot), tuple(lines))


def place(beat: Beat) -> str:
    return f"{beat.machine}\n{beat.ip}\n{beat.mac}\n{beat.instance}"
