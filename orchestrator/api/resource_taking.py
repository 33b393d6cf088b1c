"""A request that takes the first resource that fits: Redis proposes, SQL decides, a line is waited in."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
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
    taking = _Taking(call, queue, where, modes, show, end, together)
    return patiently(call, room(), wait_seconds, taking.attempt, taking.join, taking.stay)


class _Taking:
    """One request, which may be tried many times."""

    def __init__(
        self,
        call: Call,
        queue: str,
        where: dict[str, Any],
        modes: Sequence[Mode],
        show: Callable[[Transaction, Taken], Any],
        end: Callable[[datetime], datetime | None],
        together: Callable[[bool], Any] | None,
    ) -> None:
        self._call = call
        self._queue = queue
        self._where = where
        self._condition = Condition.read(where)
        self._modes = modes
        self._show = show
        self._end = end
        self._together = together
        self._token = uuid.uuid4().hex
        self._tries = 0

    def attempt(self, ticket: int | None) -> Response:
        self._tries += 1
        is_in_line = ticket not in (None, NEWCOMER)
        if self._together is not None and not is_in_line and self._tries <= PATIENCE_WITH_PROPOSALS:
            with suppress(Alone):
                return _answered(self._call, self._together(ticket is not None))
        proposed: set[int] = set()
        is_hidden = False
        try:
            answer, asker = self._granted(ticket, proposed)
            is_hidden = Mode.READ in self._modes  # from now on; otherwise it can be asked for at once
            if asker is None or not (is_in_line and self._modes):
                return answer  # who has not waited is there
            return returned(self._call, answer, asker, begun=Mode.READ in self._modes)
        finally:
            if not is_hidden:
                self._call.parts.proposals.forget(*proposed)

    def join(self, tx: Transaction) -> Place:
        found = queues.existing(tx, self._queue)
        asker = who(self._call, tx)
        ticket = waits.join(tx, asker, self._modes, queue_id=found.id, where=self._where)
        return Place(ticket, [queue_line(found.id)])

    def stay(self, tx: Transaction, place: Place) -> None:
        waits.stay(tx, place.ticket)

    def _granted(self, ticket: int | None, proposed: set[int]) -> tuple[Response, Initiator | None]:
        """The answer, and to whom it was granted: to nobody, where it is that of an earlier request."""
        askers: list[Initiator] = []

        def work(tx: Transaction) -> Any:
            askers.append(who(self._call, tx))
            propose, end = partial(self._propose, proposed), self._end(tx.now)
            taken = verbs.take(
                tx, self._queue, self._condition, askers[-1], self._modes, end, propose, ticket
            )
            if taken is None:
                raise Nothing
            return self._show(tx, taken)

        answer = self._call.write(work)
        return answer, askers[-1] if askers else None

    def _propose(self, proposed: set[int], ids: Sequence[int]) -> int | None:
        """One that Redis gives to nobody else at this moment; noted in `proposed`."""
        found = self._call.parts.proposals.choose(ids, self._token)
        if found is not None:
            proposed.add(found)
        elif self._tries > PATIENCE_WITH_PROPOSALS:
            return random.choice(ids)  # noqa: S311  (whoever was proposed does not come; SQL decides)
        return found


def _answered(call: Call, view: Any) -> Response:
    if view is None:
        raise Nothing
    return call.answer(view)
