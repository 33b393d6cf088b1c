"""REST v1: resources, and what robots and people do with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flask import Response

from orchestrator.api.auth import ROBOT, Policy
from orchestrator.api.call import Call
from orchestrator.api.operation import OneOrMany, OrNothing
from orchestrator.api.patience import Nothing
from orchestrator.api.queries import LongPages
from orchestrator.api.resource_access import reader, returned, waiting_at, who, written
from orchestrator.api.resource_batches import resource_batches
from orchestrator.api.resource_fields import (
    Fenced,
    FinishIn,
    LockIn,
    PostponeIn,
    ResourceChange,
    ResourceFilters,
    ResourceIn,
    TakeIn,
    UnlockIn,
)
from orchestrator.api.resource_taking import take
from orchestrator.api.routes import Routes
from orchestrator.errors import Forbidden, Invalid
from orchestrator.insights import resources as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.resources import ResourceEvent, ResourceView, TakenView
from orchestrator.resources import create as creation
from orchestrator.resources import lifecycle as verbs
from orchestrator.resources import locks, past, queues, turns
from orchestrator.resources.batches import Alone
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import RESOURCES_IN_ONE_REQUEST, NewResource
from orchestrator.resources.lifecycle import Taken
from orchestrator.resources.locks import MODES, Initiator, Mode
from orchestrator.resources.model import STATUS_BY_NAME, ErrorKind
from orchestrator.resources.waits import NEWCOMER
from orchestrator.transaction import Transaction

routes = Routes("resources")


@dataclass(frozen=True)
class Resources:
    items: list[ResourceView]


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
        made = seen.many(tx, [dict(past.look(tx, one)._mapping) for one in ids])
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
    condition = query.condition()

    def work(tx: Transaction) -> Page[ResourceView]:
        found = queues.existing(tx, queue)
        return seen.listed(tx, found.id, condition, reader(call, tx), query.limit, query.cursor)

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

    def show(tx: Transaction, found: Taken) -> TakenView:
        return seen.taken(tx, found.row, found.fence)

    def together(in_turn: bool) -> Any:
        where = json.dumps(body.where, sort_keys=True)
        return resource_batches().take(call, queue, Condition.read(body.where), where, in_turn=in_turn)

    modes = MODES[body.lock]
    is_usual = body.lock == "read" and body.until is None and body.for_seconds is None
    try:
        return take(
            call,
            queue,
            body.where,
            modes,
            show,
            end=body.end,
            wait_seconds=body.wait_seconds,
            together=together if is_usual else None,
        )
    except Nothing:
        return Response(status=204)


# One resource -------------------------------------------------------------------------------------------


@routes.get("/resources/<resource>", Policy.VIEWER_OR_ROBOT, query=Fenced, answer=ResourceView)
def get_resource(call: Call, resource: str, query: Fenced) -> Response:
    """Get a resource; one that another run has locked for reading is waited for, or refused."""

    def attempt(ticket: int | None) -> Response:
        def work(tx: Transaction) -> ResourceView:
            return seen.view(tx, verbs.read(tx, resource, reader(call, tx), query.fence, ticket))

        return call.read(work)

    return waiting_at(call, resource, (Mode.READ,), query.wait_seconds, attempt)


@routes.patch(
    "/resources/<resource>",
    Policy.OPERATOR_OR_ROBOT,
    body=ResourceChange,
    query=Fenced,
    answer=ResourceView,
)
def change_resource(call: Call, resource: str, body: ResourceChange, query: Fenced) -> Response:
    """Change a resource; one that another has locked for writing is waited for, or refused."""
    wanted = {name: getattr(body, name) for name in body.model_fields_set}
    if "status" in wanted:
        if call.identity.role == ROBOT:
            raise Forbidden("status: only a person sets it; a robot finishes, or lets its run end.")
        wanted["status"] = STATUS_BY_NAME[wanted["status"]].value

    def attempt(ticket: int | None) -> Response:
        def work(tx: Transaction) -> ResourceView:
            return seen.view(tx, verbs.change(tx, resource, who(call, tx), wanted, query.fence, ticket))

        return call.write(work)

    return written(call, resource, (Mode.WRITE,), query.wait_seconds, attempt)


@routes.delete("/resources/<resource>", Policy.OPERATOR_OR_ROBOT, query=Fenced, status=204)
def delete_resource(call: Call, resource: str, query: Fenced) -> Response:
    """Delete a resource; one that another has locked for writing is waited for, or refused."""

    def attempt(ticket: int | None) -> Response:
        return call.write(lambda tx: verbs.remove(tx, resource, who(call, tx), query.fence, ticket))

    return written(call, resource, (Mode.WRITE,), query.wait_seconds, attempt)


@routes.post("/resources/<resource>/lock", Policy.OPERATOR_OR_ROBOT, body=OrNothing(LockIn), answer=TakenView)
def lock_resource(call: Call, resource: str, body: LockIn) -> Response:
    """Set locks on a resource, or change the date of one's own. A person passes any lock of a run."""
    modes = MODES[body.lock]

    def attempt(ticket: int | None) -> Response:
        before: list[tuple[Initiator, Sequence[Mode]]] = []

        def work(tx: Transaction) -> TakenView:
            asker = who(call, tx)
            if ticket not in (None, NEWCOMER):
                before.append((asker, locks.own(verbs.existing(tx, resource), asker, tx.now)))
            taken = verbs.lock(tx, resource, asker, modes, body.end(tx.now), body.fence, ticket)
            return seen.taken(tx, taken.row, taken.fence)

        answer = call.write(work)
        if not before:
            return answer
        asker, kept = before[-1]
        return returned(call, answer, asker, begun=False, kept=kept)

    return written(call, resource, modes, body.wait_seconds, attempt)


@routes.post(
    "/resources/<resource>/unlock",
    Policy.OPERATOR_OR_ROBOT,
    body=OrNothing(UnlockIn),
    answer=ResourceView,
)
def unlock_resource(call: Call, resource: str, body: UnlockIn) -> Response:
    """Lift locks: a run its own, a person anybody's. A run that holds none of them is refused."""

    def work(tx: Transaction) -> ResourceView:
        return seen.view(tx, verbs.unlock(tx, resource, who(call, tx), MODES[body.lock], body.fence))

    return written(call, resource, (), 0, lambda _: call.write(work))


@routes.post("/resources/<resource>/finish", Policy.OPERATOR_OR_ROBOT, body=FinishIn, answer=ResourceView)
def finish_resource(call: Call, resource: str, body: FinishIn) -> Response:
    """Finish a resource, and release the caller's locks on it, in one step."""
    if body.status == "Processed" and (body.error is not None or body.error_kind is not None):
        raise Invalid.field("error", "what is Processed has no error; say status Error")
    kind = ErrorKind(body.error_kind or "application") if body.status == "Error" else None

    told = {"result": body.result, "error": body.error, "error_kind": kind, "fence": body.fence}

    def attempt(ticket: int | None) -> Response:
        if kind is None and ticket is None:
            with suppress(Alone):
                return call.answer(resource_batches().finish(call, resource, body.result, body.fence))

        def work(tx: Transaction) -> ResourceView:
            return seen.view(tx, verbs.finish(tx, resource, who(call, tx), **told, ticket=ticket))

        return call.write(work)

    return written(call, resource, (Mode.WRITE,), body.wait_seconds, attempt)


@routes.post("/resources/<resource>/postpone", Policy.OPERATOR_OR_ROBOT, body=PostponeIn, answer=ResourceView)
def postpone_resource(call: Call, resource: str, body: PostponeIn) -> Response:
    """Put a resource back undone: New, the caller's locks released, and served again from `until` on."""

    def work(tx: Transaction) -> ResourceView:
        asker = who(call, tx)
        locks.check_fence(verbs.existing(tx, resource), body.fence, asker, tx.now)
        return seen.view(tx, turns.put_back(tx, resource, asker, body.end(tx.now)))

    return written(call, resource, (), 0, lambda _: call.write(work))


@routes.get("/resources/<resource>/history", Policy.VIEWER, query=LongPages, answer=Page[ResourceEvent])
def get_resource_history(call: Call, resource: str, query: LongPages) -> Response:
    """Get every value, state, lock, owner, fence and refused write of a resource, oldest first; also of a
    deleted one."""
    return call.read(lambda tx: seen.history(tx, past.known_id(tx, resource), query.limit, query.cursor))
