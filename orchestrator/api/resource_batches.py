"""Robots that take and finish at the same moment share a transaction; each gets its own answer.

An Idempotency-Key is kept in the same transaction. One that was used before fails the whole batch, which
has then changed nothing: each request is done again by itself.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from flask import current_app, request
from sqlalchemy import exc

from orchestrator.api import idempotency
from orchestrator.api.auth import ROBOT
from orchestrator.api.call import Call, body_digest
from orchestrator.api.idempotency import Key
from orchestrator.batching import Batcher
from orchestrator.database import kept_guid
from orchestrator.insights import resources as seen
from orchestrator.resources import batches, queues, search
from orchestrator.resources.batches import Alone, Asker, Finish, Take
from orchestrator.resources.conditions import Condition
from orchestrator.resources.lifecycle import Taken
from orchestrator.resources.model import ResourceStatus
from orchestrator.transaction import SYSTEM, Transaction
from orchestrator.wiring import Parts

EXTENSION = "botswain-resource-batches"
RUN_HEADER = "Botswain-Run"
LIMIT = 32
QUEUES_REMEMBERED_SECONDS = 2.0  # a queue that was deleted is so long found empty, instead of missing


@dataclass(frozen=True)
class Asked:
    request: batches.Request
    call: Call
    key: Key | None


class ResourceBatches:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batcher: Batcher[Asked, Any] = Batcher(self._perform, LIMIT)
        # By tenant and key: until when it is remembered, id and name.
        self._queues: dict[tuple[int, str], tuple[float, int, str]] = {}

    def take(self, call: Call, queue: str, condition: Condition, where: str, *, in_turn: bool) -> Any:
        """The resource taken with a read lock, or None. Raises `Alone`, `Outrun`, or why it is refused."""
        if call.identity.role != ROBOT or search.meant(condition) != {ResourceStatus.NEW}:
            raise Alone
        queue_id = self._queue_id(call, queue)
        return self._submit(call, Take(_asker(call), queue_id, condition, where, in_turn))

    def finish(self, call: Call, resource: str, result: Any, fence: int | None) -> Any:
        """The resource, Processed. Raises `Alone`, `Outrun`, or why it is refused."""
        if call.identity.role != ROBOT:
            raise Alone
        return self._submit(call, Finish(_asker(call), kept_guid(resource), result, fence))

    def _submit(self, call: Call, asked: batches.Request) -> Any:
        key = Key.of(request, body_digest())
        return self._batcher.submit(call.identity.tenant_id, Asked(asked, call, key))

    def _queue_id(self, call: Call, queue: str) -> int:
        known = (call.identity.tenant_id, queue)
        until, queue_id, _ = self._queues.get(known, (0.0, 0, ""))
        if until > time.monotonic():
            return queue_id
        found = call.fetch(lambda tx: queues.existing(tx, queue))
        if len(self._queues) > 1000:
            self._queues.clear()
        until = time.monotonic() + QUEUES_REMEMBERED_SECONDS
        self._queues[known] = (until, int(found.id), str(found.name))
        return int(found.id)

    def _known_names(self) -> dict[int, str]:
        now = time.monotonic()
        return {queue_id: name for until, queue_id, name in list(self._queues.values()) if until > now}

    def _perform(self, asked: Sequence[Asked]) -> Sequence[Any]:
        token = uuid.uuid4().hex
        chosen: set[int] = set()

        def propose(ids: Sequence[int], count: int) -> Sequence[int]:
            found = self._parts.proposals.choose_some(ids, count, token)
            chosen.update(found)
            return found

        settled = False
        try:
            outcomes = self._parts.transactions.run(
                lambda tx: _work(tx, asked, propose, self._known_names()),
                tenant_id=asked[0].call.identity.tenant_id,
                actor=SYSTEM,
            )
            settled = True
        except exc.IntegrityError:
            return [Alone()] * len(asked)
        finally:
            if not settled:
                self._parts.proposals.forget(*chosen)
        return outcomes


def _work(
    tx: Transaction, asked: Sequence[Asked], propose: batches.Propose, queue_names: Mapping[int, str]
) -> list[Any]:
    outcomes = batches.perform(tx, [one.request for one in asked], propose)
    views = _views(tx, outcomes, queue_names)
    kept = [
        (one.key, one.call.operation.status, one.call.operation.plain(view))
        for one, view in zip(asked, views, strict=True)
        if one.key is not None and view is not None and not isinstance(view, Exception)
    ]
    idempotency.keep_all(tx, kept)
    return views


def _views(tx: Transaction, outcomes: Sequence[batches.Outcome], queue_names: Mapping[int, str]) -> list[Any]:
    """What is answered: the resources as they are now; names that are not known are asked for at once."""
    rows = [_row(one) for one in outcomes if _is_resource(one)]
    holders = [one.who for one in outcomes if isinstance(one, Taken) and one.who is not None]
    runs = {who.run_id: who.job_guid for who in holders if who.run_id is not None}
    shown = iter(seen.many(tx, rows, seen.Known(queue_names, runs)) if rows else ())
    views: list[Any] = []
    for one in outcomes:
        if isinstance(one, Taken):
            views.append(seen.TakenView(**vars(next(shown)), fence=one.fence))
        else:
            views.append(next(shown) if _is_resource(one) else one)
    return views


def _is_resource(outcome: batches.Outcome) -> bool:
    return outcome is not None and not isinstance(outcome, Exception)


def _row(outcome: batches.Outcome) -> Any:
    return outcome.row if isinstance(outcome, Taken) else outcome


def _asker(call: Call) -> Asker:
    return Asker(call.identity.actor, request.headers.get(RUN_HEADER))


def resource_batches() -> ResourceBatches:
    return cast(ResourceBatches, current_app.extensions[EXTENSION])
