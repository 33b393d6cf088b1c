"""REST v1: resources, and what robots and people do with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from flask import Response, current_app, request
from pydantic import AfterValidator, Field

from orchestrator.api.auth import ROBOT, Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Input, Integer, Moment
from orchestrator.api.json_input import read_json
from orchestrator.api.operation import OneOrMany
from orchestrator.api.patience import Nothing, Place, patiently
from orchestrator.api.queries import Number, Pages, Query, Text
from orchestrator.api.routes import Routes
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.errors import Conflict, Forbidden, Invalid
from orchestrator.insights import resources as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.resources import ResourceEvent, ResourceView, TakenView
from orchestrator.resources import create as creation
from orchestrator.resources import history, queues, waits
from orchestrator.resources import lifecycle as verbs
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import RESOURCES_IN_ONE_REQUEST, TAG_LIMIT, NewResource
from orchestrator.resources.locks import MODES, Initiator, Mode
from orchestrator.resources.model import STATUS_BY_NAME, ErrorKind
from orchestrator.resources.proposals import queue_line, resource_line
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction

routes = Routes("resources")
ROOM = "botswain-waiting-room"
RUN_HEADER = "Botswain-Run"
WIDEST_PRIORITY = 2**31 - 1
LONGEST_LOCK = 10 * 366 * 24 * 3600

Result = TypeVar("Result")
Tag = Annotated[str, Field(min_length=1, max_length=TAG_LIMIT)]
Tags = Annotated[list[Tag], Field(max_length=100)]
ParameterName = Annotated[str, Field(min_length=1, max_length=120)]
Parameters = Annotated[dict[ParameterName, Any], Field(max_length=100)]
Priority = Annotated[Integer, Field(ge=0, le=WIDEST_PRIORITY)]
Reference = Annotated[str, Field(min_length=1, max_length=255)]
StatusName = Literal["New", "InProgress", "Processed", "Error"]
LockName = Literal["none", "read", "write", "both"]
Seconds = Annotated[float, Field(ge=0, le=55, allow_inf_nan=False)]
Fence = Annotated[Integer, Field(ge=0, le=2**53)]


def _distinct(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


class ResourceIn(Input):
    """A resource: any JSON as its value, and what it is found by."""

    value: Any = None
    reference: Reference | None = None
    tags: Annotated[Tags, AfterValidator(_distinct)] = Field(default_factory=list)
    priority: Priority = 0
    parameters: Parameters = Field(default_factory=dict)
    postpone_until: Moment | None = None
    deadline: Moment | None = None


class ResourceChange(Input):
    """What is left out stays. Only a person sets `status`; a robot finishes."""

    value: Any = None
    reference: Reference | None = None
    tags: Annotated[Tags, AfterValidator(_distinct)] = Field(default_factory=list)
    priority: Priority = 0
    parameters: Parameters = Field(default_factory=dict)
    postpone_until: Moment | None = None
    deadline: Moment | None = None
    status: StatusName = "New"


class Dated(Input):
    """A lock with `until` or `for_seconds` ends by itself at that moment; with neither, with the run."""

    until: Moment | None = None
    for_seconds: Annotated[float, Field(gt=0, le=LONGEST_LOCK, allow_inf_nan=False)] | None = None
    wait_seconds: Seconds = 0

    def end(self, now: datetime) -> datetime | None:
        if self.until is not None and self.for_seconds is not None:
            raise Invalid.field("for_seconds", "give until or for_seconds, not both")
        if self.for_seconds is not None:
            return now + timedelta(seconds=self.for_seconds)
        if self.until is not None and self.until <= now:
            raise Invalid.field("until", "the moment has passed already")
        return self.until


class TakeIn(Dated):
    """Which resource, and the lock that comes with it. Without a status in `where`, New is meant."""

    where: dict[str, Any] = Field(default_factory=dict)
    lock: LockName = "read"


class LockIn(Dated):
    lock: Literal["read", "write", "both"] = "both"
    fence: Fence | None = None


class UnlockIn(Input):
    lock: Literal["read", "write", "both"] = "both"
    fence: Fence | None = None


class FinishIn(Input):
    """Processed with a result, or Error with what went wrong and of which kind it is."""

    status: Literal["Processed", "Error"] = "Processed"
    result: Any = None
    error: Annotated[str, Field(max_length=10_000)] | None = None
    error_kind: Literal["business", "application"] | None = None
    fence: Fence | None = None
    wait_seconds: Seconds = 0


class Waiting(Query):
    wait_seconds: Annotated[Number, Field(ge=0, le=55)] = 0


class Writing(Waiting):
    fence: Annotated[Number, Field(ge=0)] | None = None


class ResourceFilters(Pages):
    """`where` is a condition as JSON."""

    where: Annotated[str, Field(max_length=10_000)] | None = None
    status: StatusName | None = None
    reference: Text | None = None
    tag: Text | None = None


@dataclass(frozen=True)
class Resources:
    items: list[ResourceView]


@dataclass(frozen=True)
class ResourceHistory:
    items: list[ResourceEvent]


# Queues' resources --------------------------------------------------------------------------------------


@routes.post(
    "/queues/<queue>/resources",
    Policy.OPERATOR_OR_ROBOT,
    body=OneOrMany(ResourceIn, RESOURCES_IN_ONE_REQUEST),
    answer=ResourceView | Resources,
    status=201,
)
def create_resources(call: Call, queue: str, body: list[ResourceIn]) -> Response:
    """Create a resource, or a list of up to 1,000: all of them or none."""
    orders = [NewResource(**dict(order)) for order in body]

    def work(tx: Transaction) -> ResourceView | Resources:
        ids = creation.create(tx, queue, orders)
        made = seen.many(tx, [dict(verbs.existing(tx, one)._mapping) for one in ids])
        return Resources(made) if call.is_list else made[0]

    return call.write(work)


@routes.get(
    "/queues/<queue>/resources",
    Policy.VIEWER_OR_ROBOT,
    query=ResourceFilters,
    answer=Page[ResourceView],
)
def list_resources(call: Call, queue: str, query: ResourceFilters) -> Response:
    """List the resources that fit, newest first; what another run has locked for reading is hidden."""
    where = read_json(query.where.encode()) if query.where else {}
    if not isinstance(where, dict):
        raise Invalid.field("where", "it must be a JSON object")
    named = {"status": query.status, "reference": query.reference}
    where |= {name: value for name, value in named.items() if value is not None}
    if query.tag is not None:
        where["tags"] = {"all": [query.tag]}
    condition = Condition.read(where)

    def work(tx: Transaction) -> Page[ResourceView]:
        found = queues.existing(tx, queue)
        return seen.listed(tx, found.id, condition, _reader(call, tx), query.limit, query.cursor)

    return call.read(work)


@routes.post(
    "/queues/<queue>/take",
    Policy.OPERATOR_OR_ROBOT,
    body=TakeIn,
    answer=TakenView,
    answers={204: None},
)
def take_resource(call: Call, queue: str, body: TakeIn) -> Response:
    """Take the first resource that fits, with a lock; 204 where there is none within `wait_seconds`."""
    condition = Condition.read(body.where)
    modes = MODES[body.lock]

    def attempt(ticket: int | None) -> Response:
        chosen: list[int] = []

        def propose(ids: Sequence[int]) -> int | None:
            found = call.parts.proposals.choose(ids, f"{call.identity.actor}:{id(chosen)}")
            chosen[:] = [found] if found is not None else []
            return found

        def work(tx: Transaction) -> TakenView:
            until = body.end(tx.now)
            taken = verbs.take(tx, queue, condition, _who(call, tx), modes, until, propose, ticket)
            if taken is None:
                raise Nothing
            return seen.taken(tx, taken.row, taken.fence)

        try:
            return call.write(work)
        except Exception:
            for resource_id in chosen:
                call.parts.proposals.forget(resource_id)
            raise

    def join(tx: Transaction) -> Place:
        found = queues.existing(tx, queue)
        ticket = waits.join(tx, _who(call, tx), modes, queue_id=found.id, where=body.where)
        return Place(ticket, [queue_line(found.id)])

    try:
        return patiently(call, _room(), body.wait_seconds, attempt, join)
    except Nothing:
        return Response(status=204)


# One resource -------------------------------------------------------------------------------------------


@routes.get("/resources/<resource>", Policy.VIEWER_OR_ROBOT, query=Waiting, answer=ResourceView)
def get_resource(call: Call, resource: str, query: Waiting) -> Response:
    """Get a resource; one that another run has locked for reading is waited for, or refused."""

    def work(tx: Transaction) -> ResourceView:
        return seen.view(tx, verbs.read(tx, resource, _reader(call, tx)))

    return _patiently(call, resource, (Mode.READ,), query.wait_seconds, lambda _: call.read(work))


@routes.patch(
    "/resources/<resource>",
    Policy.OPERATOR_OR_ROBOT,
    body=ResourceChange,
    query=Writing,
    answer=ResourceView,
)
def change_resource(call: Call, resource: str, body: ResourceChange, query: Writing) -> Response:
    """Change a resource; one that another has locked for writing is waited for, or refused."""
    wanted = {name: getattr(body, name) for name in body.model_fields_set}
    if "status" in wanted:
        if call.identity.role == ROBOT:
            raise Forbidden("status: only a person sets it; a robot finishes, or lets its run end.")
        wanted["status"] = STATUS_BY_NAME[wanted["status"]].value

    def work(tx: Transaction) -> ResourceView:
        return seen.view(tx, verbs.change(tx, resource, _who(call, tx), wanted, query.fence))

    return _written(call, resource, (Mode.WRITE,), query.wait_seconds, lambda _: call.write(work))


@routes.delete("/resources/<resource>", Policy.OPERATOR_OR_ROBOT, query=Writing, status=204)
def delete_resource(call: Call, resource: str, query: Writing) -> Response:
    """Delete a resource; one that another has locked for writing is waited for, or refused."""

    def work(tx: Transaction) -> None:
        verbs.remove(tx, resource, _who(call, tx), query.fence)

    return _written(call, resource, (Mode.WRITE,), query.wait_seconds, lambda _: call.write(work))


@routes.post("/resources/<resource>/lock", Policy.OPERATOR_OR_ROBOT, body=LockIn, answer=TakenView)
def lock_resource(call: Call, resource: str, body: LockIn) -> Response:
    """Set locks on a resource, or change the date of one's own. A person passes any lock of a run."""
    modes = MODES[body.lock]

    def attempt(ticket: int | None) -> Response:
        def work(tx: Transaction) -> TakenView:
            taken = verbs.lock(tx, resource, _who(call, tx), modes, body.end(tx.now), ticket)
            return seen.taken(tx, taken.row, taken.fence)

        return call.write(work)

    return _written(call, resource, modes, body.wait_seconds, attempt)


@routes.post("/resources/<resource>/unlock", Policy.OPERATOR_OR_ROBOT, body=UnlockIn, answer=ResourceView)
def unlock_resource(call: Call, resource: str, body: UnlockIn) -> Response:
    """Lift locks: a run its own, a person anybody's."""

    def work(tx: Transaction) -> ResourceView:
        return seen.view(tx, verbs.unlock(tx, resource, _who(call, tx), MODES[body.lock], body.fence))

    return _written(call, resource, (), 0, lambda _: call.write(work))


@routes.post("/resources/<resource>/finish", Policy.OPERATOR_OR_ROBOT, body=FinishIn, answer=ResourceView)
def finish_resource(call: Call, resource: str, body: FinishIn) -> Response:
    """Finish a resource, and release the caller's locks on it, in one step."""
    if body.status == "Processed" and (body.error is not None or body.error_kind is not None):
        raise Invalid.field("error", "what is Processed has no error; say status Error")
    kind = ErrorKind(body.error_kind or "application") if body.status == "Error" else None

    def work(tx: Transaction) -> ResourceView:
        row = verbs.finish(
            tx,
            resource,
            _who(call, tx),
            result=body.result,
            error=body.error,
            error_kind=kind,
            fence=body.fence,
        )
        return seen.view(tx, row)

    return _written(call, resource, (Mode.WRITE,), body.wait_seconds, lambda _: call.write(work))


@routes.get("/resources/<resource>/history", Policy.VIEWER, answer=ResourceHistory)
def get_resource_history(call: Call, resource: str) -> Response:
    """Get every value, state, lock, owner, fence and refused write of a resource, in order."""
    return call.read(lambda tx: ResourceHistory(seen.history(tx, verbs.existing(tx, resource).id)))


# Who asks, and waiting ----------------------------------------------------------------------------------


def _who(call: Call, tx: Transaction) -> Initiator:
    """The initiator: a robot's run, or a person."""
    actor = call.identity.actor
    if call.identity.role != ROBOT:
        return Initiator(person=actor.name)
    run = runs.of_robot(tx, actor.id, request.headers.get(RUN_HEADER))
    return Initiator(run_id=run.id, job_guid=run.job_guid)


def _reader(call: Call, tx: Transaction) -> Initiator:
    """A robot that only looks need not be in a run; it then sees what any other robot sees."""
    try:
        return _who(call, tx)
    except runs.NoRun:
        return Initiator(run_id=0)


def _patiently(
    call: Call,
    resource: str,
    modes: Sequence[Mode],
    seconds: float,
    attempt: Callable[[int | None], Response],
) -> Response:
    def join(tx: Transaction) -> Place:
        row = verbs.existing(tx, resource)
        who = _reader(call, tx)
        ticket = waits.join(tx, who, modes, resource_id=row.id)
        waits.refuse_cycle(tx, who, row, modes, waits.NEWCOMER)
        return Place(ticket, [resource_line(row.id)])

    return patiently(call, _room(), seconds, attempt, join)


def _written(
    call: Call,
    resource: str,
    modes: Sequence[Mode],
    seconds: float,
    attempt: Callable[[int | None], Response],
) -> Response:
    """A write; one that is refused changes nothing but the history, which says who tried."""
    try:
        return _patiently(call, resource, modes, seconds, attempt)
    except Conflict as conflict:
        refusal = conflict  # the name of an except clause ends with it
        call.transact(lambda tx: _note_refusal(call, tx, resource, refusal))
        raise


def _note_refusal(call: Call, tx: Transaction, resource: str, refusal: Conflict) -> None:
    row = verbs.existing(tx, resource)
    detail: dict[str, Any] = {"operation": call.operation.name, "code": refusal.code, "why": refusal.detail[:500]}
    history.write(tx, [history.line(tx, "refused", dict(row._mapping), **detail)])


def _room() -> WaitingRoom:
    room: WaitingRoom = current_app.extensions[ROOM]
    return room
