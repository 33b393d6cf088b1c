"""How much there is of everything, of all tenants: what a monitoring system asks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from orchestrator.cluster.lifecycle import SCHEDULER
from orchestrator.cluster.model import Node
from orchestrator.cluster.surroundings import STALE_WRITES
from orchestrator.insights import duties
from orchestrator.insights.cluster import standing_notices
from orchestrator.insights.duties import DutyView
from orchestrator.insights.robots import STATE_NAMES as ROBOT_STATES
from orchestrator.insights.tasks import STATES as TASK_STATES
from orchestrator.jobs.model import HeldLine, Job
from orchestrator.jobs.states import LIVE
from orchestrator.jobs.states import STATE_NAMES as JOB_STATES
from orchestrator.limits.model import Breaker, BreakerState, Permit
from orchestrator.robots.doubles import SHOWN_FOR
from orchestrator.robots.model import Robot, RobotStatus
from orchestrator.tasks.model import Task, TaskStatus
from orchestrator.transaction import Transaction


@dataclass(frozen=True)
class Gauges:
    """Counts by name of state (nodes: by kind), and the age in seconds of the oldest task in line."""

    jobs: dict[str, int]
    tasks: dict[str, int]
    robots: dict[str, int]
    nodes: dict[str, int]
    oldest_waiting_seconds: float
    permits_held: int
    breakers_open: int
    held_lines: int
    notices: dict[str, int]  # by code
    duties: list[DutyView]
    stalled: int
    doubled: int
    stale_writes: dict[str, int]  # that were refused, by scheduler, each since its start


def gauges(tx: Transaction) -> Gauges:
    jobs = {name.lower(): 0 for name in JOB_STATES.values()}
    for status, count in _counts(tx, Job.status):
        jobs[JOB_STATES[status].lower()] += count
    tasks = dict.fromkeys(TASK_STATES.values(), 0)
    for status, count in _counts(tx, Task.status):
        tasks[TASK_STATES[TaskStatus(status)]] += count
    robots = {name.lower(): 0 for name in ROBOT_STATES.values()}
    for status, count in _counts(tx, Robot.status, Robot.deleted_at.is_(None)):
        robots[ROBOT_STATES[RobotStatus(status)].lower()] += count
    nodes = {"scheduler": 0, "worker": 0} | dict(_counts(tx, Node.kind, Node.lease_until > tx.now))
    live = [status.value for status in sorted(LIVE)]
    return Gauges(
        jobs,
        tasks,
        robots,
        nodes,
        _oldest_waiting(tx),
        permits_held=int(tx.execute(select(func.coalesce(func.sum(Permit.permits), 0))).scalar_one()),
        breakers_open=_count(tx, Breaker.id, Breaker.state != BreakerState.CLOSED.value),
        held_lines=_count(tx, HeldLine.id),
        notices=dict(Counter(notice.code for notice in standing_notices(tx))),
        duties=duties.listed(tx),
        stalled=_count(tx, Job.id, Job.status.in_(live), Job.stalled_at.is_not(None)),
        doubled=_count(tx, Robot.id, Robot.doubled_at > tx.now - SHOWN_FOR),
        stale_writes=_stale_writes(tx),
    )


def _stale_writes(tx: Transaction) -> dict[str, int]:
    rows = tx.execute(select(Node.name, Node.surroundings).where(Node.kind == SCHEDULER).order_by(Node.name))
    return {row.name: (row.surroundings or {}).get(STALE_WRITES, 0) for row in rows}


def _count(tx: Transaction, column: Any, *conditions: Any) -> int:
    return int(tx.execute(select(func.count(column)).where(*conditions)).scalar_one())


def _counts(tx: Transaction, column: Any, *conditions: Any) -> list[tuple[Any, int]]:
    query = select(column, func.count()).where(*conditions).group_by(column)
    return [(row[0], row[1]) for row in tx.execute(query)]


def _oldest_waiting(tx: Transaction) -> float:
    # Tasks in line have no lease: so the index on (status, lease_until) holds them in order of their ids.
    query = (
        select(Task.created_at)
        .where(Task.status == TaskStatus.QUEUED.value, Task.lease_until.is_(None))
        .order_by(Task.id)
        .limit(1)
    )
    oldest = tx.execute(query).scalar()
    return max(0.0, (tx.now - oldest).total_seconds()) if oldest is not None else 0.0
