"""A Redis that hangs (its connections stay open and nothing answers) costs one call its timeout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis as Client
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestrator.resources.breaker import PAUSE_SECONDS, Breaker
from orchestrator.resources.proposals import Proposals
from tests.servers import Redis
from tests.servers.server import wait_for


class Counting(Client):
    """Counts what it is asked."""

    asked = 0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


@pytest.fixture
def client(redis_server: Redis) -> Iterator[Counting]:
    with Counting.from_url(redis_server.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
        yield client


def test_a_paused_redis_is_waited_for_once_and_found_again(client: Counting, redis_server: Redis) -> None:
    now = 0.0
    proposals = Proposals(client, "wake")
    proposals._breaker = Breaker(lambda: now)
    assert proposals.choose([7, 8], "first") == 7
    assert proposals.choose([7, 8], "second") == 8
    redis_server.pause()
    before = client.asked
    assert proposals.choose([7, 8], "second") == 7  # everybody is sent for the first: SQL decides
    for _ in range(50):
        assert proposals.choose([7, 8], "second") == 7
        proposals.forget(7)
        proposals.wake(["queue:1"])
    assert client.asked - before == 1
    now = PAUSE_SECONDS
    assert proposals.choose([7, 8], "second") == 7
    assert client.asked - before == 2
    redis_server.resume()

    def is_found_again() -> bool:
        """Two who ask are sent for two resources: only a Redis that is asked can keep them apart."""
        nonlocal now
        now += PAUSE_SECONDS
        return {proposals.choose([9, 10], who) for who in ("one", "two")} == {9, 10}

    assert wait_for(is_found_again, 20)
