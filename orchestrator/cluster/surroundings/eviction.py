"""Whether Redis keeps what it was given: one that evicts was measured to lose 2,660 of 3,000 messages."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis, RedisError

from orchestrator.cluster.surroundings.notice import Notice

KEPT_TO_THEMSELVES = ("unknown command", "no permissions")  # some hosted ones do not show their settings


def policy(redis: Redis) -> str | None:
    """Its `maxmemory-policy`; None: it does not say. Raises `RedisError` where it does not answer."""
    try:
        redis.ping()
        answer = cast(dict[str, Any], redis.config_get("maxmemory-policy"))
    except RedisError as error:
        if any(word in str(error).lower() for word in KEPT_TO_THEMSELVES):
            return None
        raise
    return answer.get("maxmemory-policy")


def sentence(found: str | None) -> str | None:
    if found in (None, "noeviction"):
        return None
    return f"Redis has maxmemory-policy {found} and can lose messages without a word: set noeviction"


def notices(redis: Redis) -> list[Notice]:
    try:
        said = sentence(policy(redis))
    except RedisError:
        return [Notice("redis_away", "Redis does not answer: hints, presence and waiting rest until it does")]
    return [Notice("redis_evicts", said)] if said else []
