"""Who asks for a resource, and requests that wait for one or are refused it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from flask import Response, current_app, request

from orchestrator.api import idempotency
from orchestrator.api.auth import ROBOT
from orchestrator.api.call import Call, body_digest
from orchestrator.api.delivery import watched
from orchestrator.api.idempotency import Key
from orchestrator.api.patience import Place, patiently, settled
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.errors import Conflict, NotFound
from orchestrator.resources import history, past, search, turns, waits
from orchestrator.resources import lifecycle as verbs
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.waits import resource_line
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction

ROOM = "botswain-waiting-room"
RUN_HEADER = "Botswain-Run"


def who(call: Call, tx: Transaction) -> Initiator:
    """The initiator: a robot's run, or a person."""
    actor = call.identity.actor
    if call.identity.role != ROBOT:
        return Initiator(person=actor.name)
    run = runs.of_robot(tx, actor.id, request.headers.get(RUN_HEADER))
    return Initiator(run_id=run.id, job_guid=run.job_guid)


def reader(call: Call, tx: Transaction) -> Initiator:
    """A robot that only looks need not be in a run; it then sees what any other robot sees."""
    try:
        return who(call, tx)
    except runs.NoRun:
        return Initiator(run_id=0)


def waiting_at(
    call: Call,
    resource: str,
    modes: Sequence[Mode],
    seconds: float,
    attempt: Callable[[int | None], Response],
) -> Response:
    def join(tx: Transaction) -> Place:
        row = verbs.existing(tx, resource)
        asker = reader(call, tx)
        ticket = waits.join(tx, asker, modes, resource_id=row.id)
        waits.refuse_cycle(tx, asker, row, modes, ticket)
        return Place(ticket, [resource_line(row.id)])

    def stay(tx: Transaction, place: Place) -> None:
        waits.stay(tx, place.ticket)
        waits.refuse_cycle(tx, reader(call, tx), verbs.existing(tx, resource), modes, place.ticket)

    return patiently(call, room(), seconds, attempt, join, stay)


def returned(
    call: Call, answer: Response, who: Initiator, *, begun: bool, kept: Collection[Mode] = ()
) -> Response:
    """The answer to one who has waited for a grant, which is taken back where nobody is there any more.

    The key of the request goes with it, so that who comes again is served again.
    """
    granted, key = json.loads(answer.get_data()), Key.of(request, body_digest())

    def take_back(tx: Transaction) -> None:
        turns.take_back(tx, granted["id"], who, granted["fence"] or 0, begun=begun, kept=kept)
        if key is not None:
            idempotency.forget(tx, key)

    return watched(answer, lambda: settled(lambda: call.transact(take_back)))


def written(
    call: Call,
    resource: str,
    modes: Sequence[Mode],
    seconds: float,
    attempt: Callable[[int | None], Response],
) -> Response:
    """A write; one that is refused changes nothing but the history, which says who tried.

    A resource that is history comes back from there to be written.
    """
    try:
        return waiting_at(call, resource, modes, seconds, attempt)
    except NotFound:
        if not call.transact(lambda tx: past.recall(tx, resource)):
            raise
        return written(call, resource, modes, seconds, attempt)
    except Conflict as conflict:
        refusal = conflict  # the name of an except clause ends with it
        call.transact(lambda tx: _note_refusal(call, tx, resource, refusal))
        raise


def _note_refusal(call: Call, tx: Transaction, resource: str, refusal: Conflict) -> None:
    row = search.by_public_id(tx, resource)
    if row is None:
        return  # deleted meanwhile
    detail: dict[str, Any] = {
        "operation": call.operation.name,
        "code": refusal.code,
        "why": refusal.detail[:500],
    }
    history.write(tx, [history.line(tx, "refused", dict(row._mapping), reader(call, tx), **detail)])


def room() -> WaitingRoom:
    room: WaitingRoom = current_app.extensions[ROOM]
    return room
