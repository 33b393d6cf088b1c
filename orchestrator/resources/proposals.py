"""Redis proposes, SQL decides: which candidate a robot is sent for, so that robots do not meet at one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import structlog
from redis import Redis, RedisError

from orchestrator.resources.changes import ResourcesFreed
from orchestrator.robots.presence import WAKE_CHANNEL
from orchestrator.transaction import Transactions

log = structlog.get_logger(__name__)

KEY = "botswain:proposed:{}"
FORGOTTEN_AFTER_MS = 3000


class Proposals:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._script = redis.register_script((Path(__file__).parent / "propose.lua").read_text("utf-8"))

    def choose(self, ids: Sequence[int], token: str) -> int | None:
        """One of `ids`, the earliest that nobody else is being given; None where each is.

        While Redis is away every robot is sent for the first: slower, and as right, because SQL decides.
        """
        if not ids:
            return None
        try:
            keys = [KEY.format(resource_id) for resource_id in ids]
            index = cast(int, self._script(keys=keys, args=[token, FORGOTTEN_AFTER_MS]))
        except RedisError:
            return ids[0]
        return ids[index - 1] if index else None

    def forget(self, resource_id: int) -> None:
        """The grant did not come about: another may be sent for it."""
        try:
            self._redis.delete(KEY.format(resource_id))
        except RedisError as error:
            log.info("proposal_not_forgotten", error=str(error)[:200])

    def wake(self, lines: Iterable[str]) -> None:
        self._redis.publish(WAKE_CHANNEL, " ".join(lines))


def queue_line(queue_id: int) -> str:
    return f"queue:{queue_id}"


def resource_line(resource_id: int) -> str:
    return f"resource:{resource_id}"


def subscribe(transactions: Transactions, proposals: Proposals) -> None:
    """Those who wait are woken by what frees a resource; it may be given again at once."""

    def freed(facts: list[ResourcesFreed]) -> None:
        lines = [queue_line(fact.queue_id) for fact in facts]
        ids = [resource_id for fact in facts for resource_id in fact.resource_ids]
        for resource_id in ids:
            proposals.forget(resource_id)
        proposals.wake([*lines, *[resource_line(resource_id) for resource_id in ids]])

    transactions.subscribe(ResourcesFreed, freed)
