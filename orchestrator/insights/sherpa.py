"""Resources as Sherpa's tasks: names, numbers of states, and the rows of its answers.

A task's name is the parameter `task.name`, which is an index entry, and in a queue of unique tasks also the
resource's reference. Description, comment, retries, and parameters that are no object are in its value.
Sources: docs.sherparpa.ru, Sherpa Orchestrator, API: /api/task/read and /api/queue/read (fields and their
types), Sherpa Designer, "Get Task" (the numbers of states).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select

from orchestrator.errors import NotFound
from orchestrator.insights.paging import oldest
from orchestrator.past import live_of
from orchestrator.resources import locks, past, search
from orchestrator.resources.conditions import Condition, parameter_term
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import (
    PAST_RESOURCES,
    ErrorKind,
    Queue,
    Resource,
    ResourceStatus,
    ResourceTerm,
)
from orchestrator.transaction import Transaction

NAME = "task.name"
UNIQUE = "uniqueTasks"  # a keyword of its own in the queue's JSON Schema, which says nothing of values
NEW, IN_PROGRESS, SUCCESS, FAILED, FAILED_BUSINESS, POSTPONED, ABANDONED = range(7)
STATES = {
    "new": NEW,
    "inprogress": IN_PROGRESS,
    "success": SUCCESS,
    "failed": FAILED,
    "failedapplication": FAILED,
    "failedbusiness": FAILED_BUSINESS,
    "postponed": POSTPONED,
    "abandoned": ABANDONED,
}
PRIORITIES = {"low": 0, "normal": 1, "high": 2}
CHUNK = 500
NAMESAKES = 100
_ERRORS = {ErrorKind.BUSINESS.value: FAILED_BUSINESS, ErrorKind.ABANDONED.value: ABANDONED}
_KEPT_AS = {
    NEW: ResourceStatus.NEW,
    IN_PROGRESS: ResourceStatus.IN_PROGRESS,
    SUCCESS: ResourceStatus.PROCESSED,
}


@dataclass(frozen=True)
class TaskView:
    """As Sherpa answers: numbers are texts, parameters JSON in a text, tags separated by semicolons, times
    in UTC. `id` and `queue_id` are GUIDs here."""

    id: str
    guid: str
    queue_id: str
    queue_guid: str
    name: str
    description: str
    comment: str
    status: str
    priority: str
    retries: str
    attempt: str
    parameters: str
    tags: str
    error: str
    postpone_until: str | None
    deadline: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True)
class QueueTasksView:
    id: str
    guid: str
    name: str
    description: str
    unique_tasks: int
    auto_change_status: int


def state(row: Mapping[str, Any]) -> int:
    """The number of a resource's state among Sherpa's."""
    status = ResourceStatus(row["status"])
    if status is ResourceStatus.ERROR:
        return _ERRORS.get(row["error_kind"], FAILED)
    if status is ResourceStatus.NEW and row["is_postponed"]:
        return POSTPONED
    return {kept: number for number, kept in _KEPT_AS.items()}[status]


def name(row: Mapping[str, Any]) -> str:
    return str(row["parameters"].get(NAME) or row["reference"] or "")


def details(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the facade keeps in the value; nothing where the value is another program's."""
    return dict(row["value"]) if isinstance(row["value"], dict) else {}


def task(row: Mapping[str, Any], queue: Any) -> TaskView:
    kept = details(row)
    own = {key: value for key, value in row["parameters"].items() if key != NAME}
    parameters = kept.get("parameters", own)
    return TaskView(
        id=row["public_id"],
        guid=row["public_id"],
        queue_id=queue.public_id,
        queue_guid=queue.public_id,
        name=name(row),
        description=str(kept.get("description", "")),
        comment=str(kept.get("comment", "")),
        status=str(state(row)),
        priority=str(row["priority"]),
        retries=str(kept.get("retries", 0)),
        attempt=str(row["attempt"]),
        parameters=parameters if isinstance(parameters, str) else json.dumps(parameters, ensure_ascii=False),
        tags=";".join(row["tags"]),
        error=row["error"] or "",
        postpone_until=_moment(row["postpone_until"]),
        deadline=_moment(row["deadline"]),
        created_at=_moment(row["created_at"]) or "",
        updated_at=_moment(row["updated_at"]) or "",
    )


def _moment(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment is not None else None


def queue_view(queue: Any) -> QueueTasksView:
    return QueueTasksView(
        id=queue.public_id,
        guid=queue.public_id,
        name=queue.name,
        description=queue.description,
        unique_tasks=int(is_unique(queue)),
        auto_change_status=int(queue.on_lost == "error"),
    )


def is_unique(queue: Any) -> bool:
    return isinstance(queue.json_schema, dict) and queue.json_schema.get(UNIQUE) is True


def found(tx: Transaction, key: str) -> Any:
    """The row of the task with this GUID or name, of several the oldest. Raises `NotFound`."""
    row = search.by_public_id(tx, key) or _named(tx, key) or past.find(tx, key) or _past_named(tx, key)
    if row is None:
        raise NotFound(f"There is no task {key!r}.")
    return row


def _named(tx: Transaction, key: str) -> Any | None:
    queues = select(Queue.id).where(Queue.tenant_id == tx.tenant_id)
    mine = select(*search.COLUMNS).where(Resource.tenant_id == tx.tenant_id).order_by(Resource.id)
    by_term = mine.join(ResourceTerm, ResourceTerm.resource_id == Resource.id).where(
        ResourceTerm.queue_id.in_(queues), ResourceTerm.term == parameter_term(NAME, key)
    )
    by_reference = mine.where(Resource.queue_id.in_(queues), Resource.reference == key)
    for query in (by_term, by_reference):
        for row in tx.execute(query.limit(NAMESAKES)).all():
            if name(row._mapping) == key:  # two names may have one term
                return row
    return None


def _past_named(tx: Transaction, key: str) -> Any | None:
    """The task of history that has this name as its reference, as in a queue of unique tasks."""
    tasks = PAST_RESOURCES.c
    mine = (tasks.tenant_id == tx.tenant_id, tasks.deleted_at.is_(None))
    queues = select(Queue.id).where(Queue.tenant_id == tx.tenant_id)
    query = select(*PAST_RESOURCES.columns).where(*mine, tasks.queue_id.in_(queues), tasks.reference == key)
    rows = tx.execute(query.order_by(tasks.id).limit(NAMESAKES)).all()
    return next((row for row in rows if name(row._mapping) == key), None)


def listed(
    tx: Transaction,
    queue_id: int,
    condition: Condition,
    who: Initiator,
    state_wanted: int | None,
    fits: Callable[[Mapping[str, Any]], bool],
) -> Iterator[Mapping[str, Any]]:
    """Rows that fit and that `who` may see, the oldest first. Another's read lock hides from robots."""
    sources = [(_of_queue(tx, table, queue_id, state_wanted), table.c.id) for table in _tables(state_wanted)]
    last = 0
    while rows := oldest(tx, sources, CHUNK, last):
        last = rows[-1].id
        for row in rows:
            hidden = locks.hindrance(row, (Mode.READ,), who, tx.now) is not None
            right = state_wanted is None or state(row._mapping) == state_wanted
            if right and not hidden and condition.holds(search.plain(row)) and fits(row._mapping):
                yield dict(row._mapping)


def _tables(state_wanted: int | None) -> list[Table]:
    """Where tasks in this state may be: what waits or is worked on is not history."""
    live = live_of(Resource)
    return [live] if state_wanted in (NEW, IN_PROGRESS, POSTPONED) else [live, PAST_RESOURCES]


def _of_queue(tx: Transaction, table: Table, queue_id: int, state_wanted: int | None) -> Any:
    columns = [table.c[column.name] for column in search.COLUMNS]
    query = select(*columns).where(table.c.tenant_id == tx.tenant_id, table.c.queue_id == queue_id)
    if table is PAST_RESOURCES:
        query = query.where(PAST_RESOURCES.c.deleted_at.is_(None))
    if state_wanted is None:
        return query
    kept_as = NEW if state_wanted == POSTPONED else state_wanted
    return query.where(table.c.status == _KEPT_AS.get(kept_as, ResourceStatus.ERROR).value)
