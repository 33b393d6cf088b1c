"""A Redis that hangs (its connections stay open and nothing answers) costs one call its timeout."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.resources import breaker
from orchestrator.resources.proposals import Proposals
from tests.servers import Redis
from tests.servers.server import wait_for

TIMEOUT = 0.5


@pytest.fixture
def proposals(redis_server: Redis) -> Iterator[Proposals]:
    with Client.from_url(redis_server.url, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)) as client:
        yield Proposals(client, "wake")


def test_a_paused_redis_is_waited_for_once_and_found_again(
    proposals: Proposals, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PAUSE_SECONDS", 2.0)
    assert proposals.choose([7, 8], "first") == 7
    assert proposals.choose([7, 8], "second") == 8
    redis_server.pause()
    begun = time.monotonic()
    assert proposals.choose([7, 8], "second") == 7  # everybody is sent for the first: SQL decides
    for _ in range(50):
        assert proposals.choose([7, 8], "second") == 7
        proposals.forget(7)
        proposals.wake(["queue:1"])
    assert TIMEOUT <= time.monotonic() - begun < TIMEOUT * 2
    redis_server.resume()
    # Two who ask are sent for two resources: only a Redis that is asked can keep them apart.
    assert wait_for(lambda: {proposals.choose([9, 10], who) for who in ("one", "two")} == {9, 10}, 10)
