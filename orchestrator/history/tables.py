"""What moves to history: which rows are finished, what goes with them, and in which order they are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, exists, or_, select, true

from orchestrator.audit import PAST_AUDIT, AuditRecord
from orchestrator.jobs.model import PAST_JOB_HISTORY, PAST_JOBS, Job, JobHistory
from orchestrator.jobs.states import TERMINAL
from orchestrator.past import live_of
from orchestrator.resources.lifecycle import DONE
from orchestrator.resources.model import (
    PAST_RESOURCE_HISTORY,
    PAST_RESOURCES,
    Queue,
    Resource,
    ResourceHistory,
    ResourceTerm,
)
from orchestrator.runs.model import PAST_RUNS, Run
from orchestrator.tasks.model import PAST_TASKS, Task, TaskKind, TaskStatus
from orchestrator.tenancy import Tenant
from orchestrator.transaction import Transaction

Lanes = Callable[[Transaction], list[ColumnElement[bool]]]


@dataclass(frozen=True)
class Companion:
    """Rows that belong to a moving row, whose id is in their column `key`, and go with it."""

    live: Table
    past: Table
    key: str


@dataclass(frozen=True)
class Moving:
    """A table whose finished rows move. `name` is that of its settings.

    `lanes` cuts the live table up so that each lane, in order of ids, is a walk along an index; `born` is
    never after `ended`, so a lane is walked no further than to rows that are too young in any case.
    `dropped` are index entries of a row (table, column): they are made anew from it.
    """

    name: str
    live: Table
    past: Table
    born: Column[Any]
    ended: Column[Any]
    is_finished: ColumnElement[bool]
    lanes: Lanes
    companions: tuple[Companion, ...] = ()
    dropped: tuple[tuple[Table, str], ...] = ()


def _tenants(tx: Transaction) -> list[int]:
    return list(tx.execute(select(Tenant.id).order_by(Tenant.id)).scalars())


def _by_status(table: Table, statuses: list[int]) -> Lanes:
    def lanes(tx: Transaction) -> list[ColumnElement[bool]]:
        return [
            and_(table.c.tenant_id == tenant, table.c.status == status)
            for tenant in _tenants(tx)
            for status in statuses
        ]

    return lanes


def _by_queue(tx: Transaction) -> list[ColumnElement[bool]]:
    queues = tx.execute(select(Queue.id, Queue.tenant_id).order_by(Queue.id)).all()
    table = live_of(Resource)
    return [and_(table.c.tenant_id == queue.tenant_id, table.c.queue_id == queue.id) for queue in queues]


def _by_tenant(tx: Transaction) -> list[ColumnElement[bool]]:
    return [live_of(AuditRecord).c.tenant_id == tenant for tenant in _tenants(tx)]


def _job_ends() -> ColumnElement[bool]:
    """A dispatch that failed for good may be tried again for as long as its job waits for it."""
    tasks, jobs = live_of(Task), live_of(Job)
    waits = exists().where(jobs.c.id == tasks.c.subject_id, jobs.c.status.not_in(_ENDED_JOBS))
    is_failed = and_(tasks.c.kind == TaskKind.DISPATCH.value, tasks.c.status == TaskStatus.FAILED.value)
    return or_(~is_failed, ~waits)


def _unlocked(table: Table) -> ColumnElement[bool]:
    holders = ("read_run_id", "read_person", "write_run_id", "write_person", "taken_by")
    return and_(*[table.c[name].is_(None) for name in holders])


_ENDED_JOBS = sorted(status.value for status in TERMINAL)
_ENDED_TASKS = [TaskStatus.SUCCEEDED.value, TaskStatus.FAILED.value, TaskStatus.CANCELLED.value]
_DONE = [status.value for status in DONE]

JOBS = Moving(
    "jobs",
    live_of(Job),
    PAST_JOBS,
    live_of(Job).c.created_at,
    live_of(Job).c.finished_at,
    live_of(Job).c.status.in_(_ENDED_JOBS),
    _by_status(live_of(Job), _ENDED_JOBS),
    (
        Companion(live_of(JobHistory), PAST_JOB_HISTORY, "job_id"),
        Companion(live_of(Run), PAST_RUNS, "job_id"),
    ),
)
TASKS = Moving(
    "tasks",
    live_of(Task),
    PAST_TASKS,
    live_of(Task).c.created_at,
    live_of(Task).c.finished_at,
    and_(live_of(Task).c.status.in_(_ENDED_TASKS), _job_ends()),
    _by_status(live_of(Task), _ENDED_TASKS),
)
RESOURCES = Moving(
    "resources",
    live_of(Resource),
    PAST_RESOURCES,
    live_of(Resource).c.created_at,
    live_of(Resource).c.updated_at,
    and_(live_of(Resource).c.status.in_(_DONE), _unlocked(live_of(Resource))),
    _by_queue,
    (Companion(live_of(ResourceHistory), PAST_RESOURCE_HISTORY, "resource_id"),),
    ((live_of(ResourceTerm), "resource_id"),),
)
AUDIT = Moving(
    "audit",
    live_of(AuditRecord),
    PAST_AUDIT,
    live_of(AuditRecord).c.at,
    live_of(AuditRecord).c.at,
    true(),
    _by_tenant,
)
# Tasks before jobs: a job's tasks are looked up by the job, never the other way.
ALL = (TASKS, JOBS, RESOURCES, AUDIT)
