"""A request that takes the first resource that fits: Redis proposes, SQL decides, a line is waited in."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from flask import Response

from orchestrator.api.call import Call
from orchestrator.api.patience import Nothing, Place, patiently
from orchestrator.api.resource_access import returned, room, who
from orchestrator.resources import lifecycle as verbs
from orchestrator.resources import queues, waits
from orchestrator.resources.batches import Alone
from orchestrator.resources.conditions import Condition
from orchestrator.resources.lifecycle import Taken
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.waits import NEWCOMER, queue_line
from orchestrator.transaction import Transaction

PATIENCE_WITH_PROPOSALS = 3


def take(
    call: Call,
    queue: str,
    where: dict[str, Any],
    modes: Sequence[Mode],
    show: Callable[[Transaction, Taken], Any],
    *,
    end: Callable[[datetime], datetime | None] = lambda _: None,
    wait_seconds: float = 0,
    together: Callable[[bool], Any] | None = None,
) -> Response:
    """What `show` makes of the resource taken. Raises `Nothing` where none fits within `wait_seconds`.

    `together` is tried first: it takes in company with others, for those who are not in line yet, and
    returns what is to be answered. Its argument: whether to leave what others wait for to them.
    """
    condition = Condition.read(where)
    token = uuid.uuid4().hex
    tries = 0

    def attempt(ticket: int | None) -> Response:
        nonlocal tries
        tries += 1
        if together is not None and ticket in (None, NEWCOMER) and tries <= PATIENCE_WITH_PROPOSALS:
            with suppress(Alone):
                return _answered(call, together(ticket is not None))
        chosen: set[int] = set()

        def propose(ids: Sequence[int]) -> int | None:
            found = call.parts.proposals.choose(ids, token)
            if found is not None:
                chosen.add(found)
            elif tries > PATIENCE_WITH_PROPOSALS:
                return random.choice(ids)  # noqa: S311  (whoever was proposed does not come; SQL decides)
            return found

        initiators: list[Initiator] = []

        def work(tx: Transaction) -> Any:
            initiators.append(who(call, tx))
            taken = verbs.take(tx, queue, condition, initiators[-1], modes, end(tx.now), propose, ticket)
            if taken is None:
                raise Nothing
            return show(tx, taken)

        settled = False
        try:
            answer = call.write(work)
            settled = Mode.READ in modes  # hidden from now on; otherwise it can be asked for at once
            if ticket in (None, NEWCOMER) or not (modes and initiators):
                return answer  # who has not waited is there; what was granted before is not granted again
            return returned(call, answer, initiators[-1], begun=Mode.READ in modes)
        finally:
            if not settled:
                call.parts.proposals.forget(*chosen)

    def join(tx: Transaction) -> Place:
        found = queues.existing(tx, queue)
        ticket = waits.join(tx, who(call, tx), modes, queue_id=found.id, where=where)
        return Place(ticket, [queue_line(found.id)])

    def stay(tx: Transaction, place: Place) -> None:
        waits.stay(tx, place.ticket)

    return patiently(call, room(), wait_seconds, attempt, join, stay)


def _answered(call: Call, view: Any) -> Response:
    if view is None:
        raise Nothing
    return call.answer(view)
