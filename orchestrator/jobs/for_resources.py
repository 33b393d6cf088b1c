"""A job that was created for a resource: the resource is its input, and goes the way of its run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from orchestrator.errors import Conflict, FieldError, Invalid
from orchestrator.resources import lifecycle as resources
from orchestrator.resources import locks, past, queues, search, turns
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import STATUS_NAMES, ErrorKind, Resource, ResourceStatus
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction

_NOBODY = Initiator(run_id=0)


class Busy(Exception):  # noqa: N818  (an outcome, not an error)
    """Another transaction has the resource locked at this moment."""


@dataclass(frozen=True)
class Input:
    """What the robot is handed as the protocol's Task."""

    guid: str
    name: str
    queue_guid: str
    parameters: dict[str, Any]


def find(tx: Transaction, key: str, arguments: Any) -> int:
    """The id of the New resource that a job is asked for. Raises `Invalid`."""
    row = search.by_public_id(tx, key) or past.find(tx, key)
    if row is None:
        raise Invalid.field("resource", f"there is no resource {key!r}")
    if row.status != ResourceStatus.NEW:
        raise Invalid.field("resource", f"it is {_status(row)}; a job is for a New one")
    if not isinstance(arguments, dict):
        raise Invalid(errors=[FieldError("arguments", "for a resource, give an object: both are merged")])
    return int(row.id)


def public_id(tx: Transaction, resource_id: int | None) -> str | None:
    row = search.by_id(tx, resource_id) if resource_id is not None else None
    return str(row.public_id) if row is not None else None


def obstacle(tx: Transaction, job: Any, *, may_wait: bool) -> str | None:
    """Why the job cannot begin, as a sentence. The row stays locked until the transaction has ended.

    Raises `Busy` where another has it locked at this moment, and the transaction may not wait: `may_wait` is
    for one that has locked no resource, and no limit, yet.
    """
    row = _locked(tx, job.resource_id) if may_wait else _locked_at_once(tx, job.resource_id)
    if row is None:
        return "The resource that the job was created for has been deleted."
    if row.status != ResourceStatus.NEW:
        return f"The resource that the job was created for is {_status(row)} by now."
    if locks.hindrance(row, (Mode.READ,), _NOBODY, tx.now) is not None:
        return "The resource that the job was created for is locked by another."
    return None


def begin(tx: Transaction, job: Any, robot_id: int) -> Input:
    """The run takes the resource with a read lock: it is InProgress, as if taken from its queue."""
    run = runs.of_robot(tx, robot_id, job.guid)
    runs.hold(tx, run.id)
    row = _locked(tx, job.resource_id)
    resources.granted(tx, row, Initiator(run_id=run.id, job_guid=job.guid), (Mode.READ,), None)
    return _input(tx, job, row)


def again(tx: Transaction, job: Any) -> Input | None:
    """The same input for a robot that asks again; None where the resource has been deleted meanwhile."""
    row = search.by_id(tx, job.resource_id)
    return _input(tx, job, row) if row is not None else None


def settle(tx: Transaction, job: Any, *, succeeded: bool, result: Any, error: str | None) -> None:
    """The robot said how the job ended: Processed or Error, unless the script has finished it itself.

    Where another's write lock is in the way, the end of the run gives it back by the queue's policy.
    """
    with suppress(Conflict):
        run = runs.of_robot(tx, job.robot_id, job.guid)
        runs.hold(tx, run.id)  # first the run, then its resources, in every transaction
        row = _locked(tx, job.resource_id)
        if row is None or row.taken_by != run.id or row.status != ResourceStatus.IN_PROGRESS:
            return
        who = Initiator(run_id=run.id, job_guid=job.guid)
        if succeeded:
            resources.finish(tx, row.public_id, who, result=result)
        else:
            kind = ErrorKind.APPLICATION
            resources.finish(tx, row.public_id, who, error=error or "The job failed.", error_kind=kind)


def renew(tx: Transaction, job: Any) -> str | None:
    """A person retries the job: its resource is New again where it had ended in Error. Its public id."""
    row = _locked(tx, job.resource_id) if job.resource_id is not None else None
    if row is None and (old := past.by_id(tx, job.resource_id or 0)) is not None:
        past.recall(tx, old.public_id)
        row = _locked(tx, old.id)
    if row is not None and row.status == ResourceStatus.ERROR:
        turns.put_back(tx, row.public_id, Initiator(person=tx.actor.name), None)
    return public_id(tx, job.resource_id)


def _input(tx: Transaction, job: Any, row: Any) -> Input:
    """The job's arguments, over them the resource's parameters, and its value as `value`."""
    parameters = {**job.arguments, **row.parameters, "value": row.value}
    queue = queues.by_id(tx, row.queue_id)
    return Input(row.public_id, row.reference or row.public_id, queue.public_id, parameters)


def _locked(tx: Transaction, resource_id: int) -> Any | None:
    """The row as it is now, kept from changing: a compare-and-set after this cannot be outrun."""
    tx.execute(select(Resource.id).where(Resource.id == resource_id).with_for_update()).all()
    return search.by_id(tx, resource_id)


def _locked_at_once(tx: Transaction, resource_id: int) -> Any | None:
    row = search.by_id(tx, resource_id)
    mine = select(Resource.id).where(Resource.id == resource_id).with_for_update(skip_locked=True)
    if row is not None and tx.execute(mine).first() is None:
        raise Busy
    return search.by_id(tx, resource_id)


def _status(row: Any) -> str:
    return STATUS_NAMES[ResourceStatus(row.status)]
