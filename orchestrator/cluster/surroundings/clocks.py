"""Whether clocks agree. Leases are judged by the database's alone, so a wrong one elsewhere is no danger.
But people compare the times in logs, and triggers are told in the database's."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from redis import Redis, RedisError

from orchestrator.cluster.surroundings.notice import Notice

AGREE_SECONDS = 1.0


def ahead_of(other: datetime) -> float:
    """Seconds by which this machine's clock is ahead."""
    return (datetime.now(UTC) - other).total_seconds()


def notice(whose: str, ahead: float) -> Notice | None:
    if abs(ahead) <= AGREE_SECONDS:
        return None
    way = "ahead of" if ahead > 0 else "behind"
    said = f"This machine's clock is {abs(ahead):.1f} s {way} that of {whose}: set both by NTP"
    return Notice("clock_skew", said)


def redis_notice(redis: Redis) -> Notice | None:
    """Half of the round trip, a second or two at most, is taken for the time that its answer took."""
    began = time.time()
    try:
        seconds, micros = redis.time()
    except RedisError:
        return None  # that it is away is told elsewhere
    ended = time.time()
    ahead = (began + ended) / 2 - (seconds + micros / 1_000_000)
    return notice("Redis", ahead) if abs(ahead) > AGREE_SECONDS + (ended - began) / 2 else None
