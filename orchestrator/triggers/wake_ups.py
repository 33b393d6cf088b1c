"""Wake-ups for the scheduler that looks at triggers: told after a commit, by a thread of its own.

A wake-up names what has changed, as triggers say what they watch: `queue:7` where a resource can be taken,
`process:3` where a job has ended and may have made room, and `firings` where some wait to be carried out.
What no trigger watches is not told. A wake-up that is lost costs what the next look takes, a second later,
to find the same in SQL.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import structlog
from redis import Redis, RedisError

from orchestrator.jobs.moves import JobEnded
from orchestrator.resources.changes import ResourcesFreed
from orchestrator.transaction import Fact, Transactions

log = structlog.get_logger(__name__)

CHANNEL = "botswain:trigger-wake-ups"
WATCHED = "botswain:trigger-watched"
WATCHED_SECONDS = 60  # then it is forgotten: without it, senders take everything for watched
FIRINGS = "firings"  # always watched
FRESH_SECONDS = 1.0
PAUSE_AFTER_FAILURE_SECONDS = 1.0


@dataclass(frozen=True)
class FiringsWait(Fact):
    """Firings were put down that are to be carried out now."""


def queue_watch(queue_id: int) -> str:
    return f"queue:{queue_id}"


def process_watch(process_id: int) -> str:
    return f"process:{process_id}"


class WakeUps:
    """Gathers what is told between two messages into the next one."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._told: set[str] = set()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._watched: frozenset[str] | None = None
        self._watched_read = float("-inf")

    def send(self, changed: Iterable[str]) -> None:
        """Wake whoever looks at triggers that watch any of these, soon."""
        wanted = self._of_interest(changed)
        if not wanted:
            return
        with self._wake:
            self._told |= wanted
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(target=self._run, name="trigger-wake-ups", daemon=True)
                self._thread.start()
            self._wake.notify()

    def _of_interest(self, changed: Iterable[str]) -> frozenset[str]:
        if self._watched is None or time.monotonic() - self._watched_read > FRESH_SECONDS:
            return frozenset(changed)  # the thread will read anew what is watched
        return self._watched.intersection(changed)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._told:
                    self._wake.wait()
                told, self._told = self._told, set()
            try:
                self._publish(told)
            except Exception as error:  # a client that is closed underneath fails in ways of its own
                log.warning("trigger_wake_ups_not_sent", error=str(error)[:200])
                time.sleep(PAUSE_AFTER_FAILURE_SECONDS)

    def _publish(self, told: set[str]) -> None:
        if time.monotonic() - self._watched_read > FRESH_SECONDS:
            found = cast(set[bytes], self._redis.smembers(WATCHED))
            self._watched = frozenset(one.decode() for one in found) if found else None
            self._watched_read = time.monotonic()
        wanted = self._of_interest(told)
        if wanted:
            self._redis.publish(CHANNEL, " ".join(sorted(wanted)))


def publish_watched(redis: Redis, watched: Iterable[str]) -> None:
    """Tell senders what triggers watch."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.delete(WATCHED)
        pipe.sadd(WATCHED, FIRINGS, *watched)
        pipe.expire(WATCHED, WATCHED_SECONDS)
        pipe.execute()


class Listener:
    """What was told since the last look: for one thread, on a connection of its own."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._redis: Redis | None = None
        self._channel: Any = None

    def wait(self, seconds: float) -> set[str]:
        """All that was told, as soon as anything was, or nothing after `seconds`.

        Raises `RedisError` or `OSError` where Redis is away; the next call connects anew.
        """
        try:
            return set(self._words(seconds))
        except (RedisError, OSError):
            self.close()
            raise

    def _words(self, seconds: float) -> Iterator[str]:
        channel = self._connected()
        deadline = time.monotonic() + seconds
        came = False
        while came or time.monotonic() < deadline:
            patience = 0.0 if came else max(deadline - time.monotonic(), 0.0)
            message = channel.get_message(timeout=patience)
            if message is not None:
                came = True
                yield from message["data"].decode("utf-8", "replace").split()
            elif came:
                return

    def _connected(self) -> Any:
        if self._channel is None:
            # Clients of their own, as they wait, and kept: one that is forgotten takes its connections along.
            self._redis = Redis.from_url(
                self._redis_url, socket_timeout=5, socket_connect_timeout=1, health_check_interval=5
            )
            self._channel = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            self._channel.subscribe(CHANNEL)
        return self._channel

    def close(self) -> None:
        with suppress(RedisError, OSError):
            if self._channel is not None:
                self._channel.close()
            if self._redis is not None:
                self._redis.close()
        self._channel = self._redis = None


def subscribe(transactions: Transactions, wake_ups: WakeUps) -> None:
    """Tell what frees a resource, ends a job, or leaves a firing to be carried out."""

    def freed(facts: list[ResourcesFreed]) -> None:
        wake_ups.send({queue_watch(fact.queue_id) for fact in facts})

    def ended(facts: list[JobEnded]) -> None:
        wake_ups.send({process_watch(fact.process_id) for fact in facts})

    def waiting(_facts: list[FiringsWait]) -> None:
        wake_ups.send({FIRINGS})

    transactions.subscribe(ResourcesFreed, freed)
    transactions.subscribe(JobEnded, ended)
    transactions.subscribe(FiringsWait, waiting)
