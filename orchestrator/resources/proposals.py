"""Redis proposes, SQL decides: which candidate a robot is sent for, so that robots do not meet at one row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import structlog
from redis import Redis, RedisError

from orchestrator.resources.breaker import Breaker, Skipped
from orchestrator.resources.changes import ResourcesFreed
from orchestrator.resources.waits import PlaceLeft, queue_line, resource_line
from orchestrator.transaction import Transactions

log = structlog.get_logger(__name__)

KEY = "botswain:proposed:{}"
FORGOTTEN_AFTER_MS = 3000
NEVER = -1  # what PTTL says of a key without an end


class Proposals:
    def __init__(self, redis: Redis, wake_channel: str) -> None:
        self._redis = redis
        self._wake_channel = wake_channel
        self._breaker = Breaker()
        self._script = redis.register_script((Path(__file__).parent / "propose.lua").read_text("utf-8"))

    def choose(self, ids: Sequence[int], token: str) -> int | None:
        """One of `ids`, the earliest that nobody else is being given; None where each is being given."""
        return next(iter(self.choose_some(ids, 1, token)), None)

    def choose_some(self, ids: Sequence[int], count: int, token: str) -> Sequence[int]:
        """Up to `count` of `ids`, the earliest that nobody else is being given.

        While Redis is away every robot is sent for the first: slower, and as right, because SQL decides.
        """
        if not ids:
            return ()
        try:
            keys = [KEY.format(resource_id) for resource_id in ids]
            arguments: list[str | int] = [token, FORGOTTEN_AFTER_MS, count]
            indices = self._breaker.call(lambda: self._script(keys=keys, args=arguments))
        except RedisError:
            return ids[:count]
        return [ids[index - 1] for index in cast(list[int], indices)]

    def forget(self, *resource_ids: int) -> None:
        """They are not being given any more: another may be sent for them."""
        if not resource_ids:
            return
        keys = [KEY.format(resource_id) for resource_id in resource_ids]
        try:
            self._breaker.call(lambda: self._redis.delete(*keys))
        except Skipped:
            return  # they are forgotten by themselves
        except RedisError as error:
            log.info("proposal_not_forgotten", error=str(error)[:200])

    def overdue(self) -> list[int]:
        """Resources whose proposal does not end by itself in time, and so would never be offered again."""
        prefix, keys = len(KEY.format("")), list(self._redis.scan_iter(match=KEY.format("*"), count=1000))
        with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.pttl(key)
            ends = dict(zip(keys, pipe.execute(), strict=True))
        late = [key[prefix:] for key, left in ends.items() if left == NEVER or left > FORGOTTEN_AFTER_MS]
        return [int(number) for number in late if number.isdigit()]

    def wake(self, lines: Iterable[str]) -> None:
        """Those who wait at these lines look again; not told, they do so each second."""
        try:
            self._breaker.call(lambda: self._redis.publish(self._wake_channel, " ".join(lines)))
        except Skipped:
            return


def subscribe(transactions: Transactions, proposals: Proposals) -> None:
    """Those who wait are woken by what frees a resource; it may be given again at once."""

    def freed(facts: list[ResourcesFreed]) -> None:
        lines = [queue_line(fact.queue_id) for fact in facts]
        ids = [resource_id for fact in facts for resource_id in fact.resource_ids]
        proposals.forget(*ids)
        proposals.wake([*lines, *[resource_line(resource_id) for resource_id in ids]])

    def left(facts: list[PlaceLeft]) -> None:
        proposals.wake(fact.line for fact in facts)

    transactions.subscribe(ResourcesFreed, freed)
    transactions.subscribe(PlaceLeft, left)
