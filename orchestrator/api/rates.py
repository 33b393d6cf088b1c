"""Limits of how often something may be done, counted in Redis for all processes together."""

from __future__ import annotations

from typing import cast

from redis import Redis, RedisError

WINDOW_SECONDS = 60


def exceeds(redis: Redis, what: str, limit: int) -> bool:
    """Count `what` once more; whether it has had its share of the minute. Nothing has while Redis is away."""
    key = f"botswain:rate:{what}"
    try:
        with redis.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=WINDOW_SECONDS, nx=True)
            pipe.incr(key)
            return cast(int, pipe.execute()[1]) > limit
    except RedisError:
        return False
