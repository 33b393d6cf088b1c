"""Robots that wait for a job in a heartbeat: parked threads, woken when a job comes into their line.

The capacity is what the process has threads for; beyond it a robot is answered at once, as without `Wait`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from redis import Redis, RedisError

from orchestrator.robots.presence import WAKE_CHANNEL

log = structlog.get_logger(__name__)

RECHECK_SECONDS = 1.0  # bounds what a lost wake-up costs


class WaitingRoom:
    def __init__(self, redis_url: str, capacity: int) -> None:
        self._redis_url = redis_url
        self._places = threading.BoundedSemaphore(capacity) if capacity else None
        self._lock = threading.Lock()
        self._waiting: dict[str, dict[int, threading.Event]] = {}
        self._listener: threading.Thread | None = None
        self._tickets = 0

    def wait(self, lines: Sequence[str], seconds: float, look: Callable[[], bool]) -> bool:
        """Whether `look()` became true within `seconds`; it is called when a wake-up comes, and each second.

        Returns at once, with what `look()` says, where every place is taken.
        """
        if self._places is None or not self._places.acquire(blocking=False):
            return look()
        event = threading.Event()
        ticket = self._enter(lines, event)
        try:
            deadline = time.monotonic() + seconds
            woken = False
            while not look():
                if woken:
                    self._pass_on(lines, ticket, event)
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                woken = event.wait(min(left, RECHECK_SECONDS))
                event.clear()
            return True
        finally:
            self._leave(lines, ticket)
            self._places.release()

    def wake(self, lines: Sequence[str]) -> None:
        """One of those who wait for each mention of a line, who came first before the others; at a resource
        all of them, as several may read it at once."""
        with self._lock:
            for line in lines:
                waiting = self._waiting.get(line)
                if not waiting:
                    continue
                if line.startswith("resource:"):
                    for event in waiting.values():
                        event.set()
                else:
                    waiting.pop(min(waiting)).set()

    def _pass_on(self, lines: Sequence[str], ticket: int, event: threading.Event) -> None:
        """Who was woken for nothing stands at its place again; in a queue the next may have use for it."""
        with self._lock:
            for line in lines:
                waiting = self._waiting.setdefault(line, {})
                waiting[ticket] = event
                later = [number for number in waiting if number > ticket]
                if later and line.startswith("queue:"):
                    waiting.pop(min(later)).set()

    def _enter(self, lines: Sequence[str], event: threading.Event) -> int:
        with self._lock:
            self._tickets += 1
            for line in lines:
                self._waiting.setdefault(line, {})[self._tickets] = event
            if self._listener is None or not self._listener.is_alive():
                self._listener = threading.Thread(target=self._listen, name="wake-ups", daemon=True)
                self._listener.start()
            return self._tickets

    def _leave(self, lines: Sequence[str], ticket: int) -> None:
        with self._lock:
            for line in lines:
                waiting = self._waiting.get(line)
                if waiting is not None:
                    waiting.pop(ticket, None)
                    if not waiting:
                        del self._waiting[line]

    def _listen(self) -> None:
        while True:
            try:
                # A client of its own: it blocks, and the shared one gives up after a second.
                redis = Redis.from_url(self._redis_url, socket_timeout=None, socket_connect_timeout=2)
                with redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(WAKE_CHANNEL)
                    self._follow(channel)
            except (RedisError, OSError) as error:
                log.warning("wake_ups_interrupted", error=str(error)[:200])
                time.sleep(1)

    def _follow(self, channel: Any) -> None:
        while True:
            message = channel.get_message(timeout=10)
            if message is None:
                channel.ping()
            elif message["type"] == "message":
                self.wake(message["data"].decode().split())
