"""Slowing down whoever tries GUIDs: many unknown ones from one address get 429. A known robot never does."""

from __future__ import annotations

from typing import cast

from redis import Redis, RedisError

LIMIT = 30
WINDOW_SECONDS = 60


class UnknownCallers:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def too_many(self, address: str) -> bool:
        """Count one more unknown GUID from `address`; whether it has had its share of the minute."""
        key = f"botswain:unknown:{address}"
        try:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(key, 0, ex=WINDOW_SECONDS, nx=True)
                pipe.incr(key)
                return cast(int, pipe.execute()[1]) > LIMIT
        except RedisError:
            return False
