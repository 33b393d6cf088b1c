"""The parts of a worker node, started and ended together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from workers.activities.registry import Registry
from workers.coordinator.child_process import ChildProcessBackend
from workers.coordinator.coordinator import Coordinator
from workers.performance import Performances
from workers.registration import Place, Registration
from workers.server import Orders, Server
from workers.settings import Settings, SettingsError
from workers.surroundings import Surroundings

log = structlog.get_logger(__name__)

ENDING = "The node is about to end."


class WorkerNode:
    """`slots` is how many activities run at a time; `stop_consuming` lets Celery take no more messages."""

    def __init__(self, settings: Settings, slots: int, stop_consuming: Callable[[], None]) -> None:
        self._settings, self._slots, self._stop_consuming = settings, slots, stop_consuming
        self._registry = Registry()
        self._server = Server(settings.server, settings.token, settings.name)
        place = Place(settings)
        self._surroundings = Surroundings(place.path)
        self._backend = ChildProcessBackend(settings)
        self._coordinator = Coordinator(
            self._backend, self._server, settings.server, settings.closing_seconds
        )
        self.performances = Performances(
            settings, self._server, self._registry, self._coordinator.open_session
        )
        self._registration = Registration(self._server, place, self._facts, self._obey, self._place_lost)
        self._draining: threading.Thread | None = None

    def start(self, wait: Callable[[float], None]) -> None:
        """Register, and begin. Raises `SettingsError`, `Refused`, and what `wait` raises to end."""
        try:
            self._backend.prepare()
        except OSError as error:
            raise SettingsError([f"BOTSWAIN_NODE_PATH {self._settings.working_path}: {error}"]) from None
        self._coordinator.start()
        self._surroundings.start()
        self._registration.join_cluster(wait)
        self._registration.start()
        log.info("worker_node_started", node=self._settings.name)

    def end(self) -> None:
        """Let work in hand end within the time given, interrupt the rest, close the sessions, and leave."""
        until = time.monotonic() + self._settings.shutdown_seconds
        self.performances.close()
        sessions = threading.Thread(
            target=self._coordinator.end, args=(self._settings.shutdown_seconds,), daemon=True
        )
        sessions.start()
        if not self.performances.wait_until_idle(self._settings.shutdown_seconds * 0.6):
            self.performances.interrupt(ENDING)
            self.performances.wait_until_idle(max(0.5, until - time.monotonic()))
        sessions.join(max(0.5, until - time.monotonic()))
        self._registration.leave()
        self._surroundings.end()
        self._server.close()
        log.info("worker_node_ended", node=self._settings.name)

    def _facts(self) -> dict[str, Any]:
        return {
            "activities": self._registry.names,
            "backends": [self._backend.name],
            "slots": self._slots,
            "free_slots": max(0, self._slots - self.performances.running),
            "sessions": self._coordinator.held(),
            "free_bytes": self._surroundings.free_bytes,
            "clock_ahead_seconds": self._surroundings.clock_ahead_seconds,
        }

    def _obey(self, orders: Orders) -> None:
        self._surroundings.clock_ahead_seconds = orders.clock_ahead_seconds
        if orders.close_sessions:
            self._coordinator.close_sessions(orders.close_sessions, "The server asked for its end.")
        if orders.drain and self._draining is None:
            self._draining = threading.Thread(target=self._drain, name="drain", daemon=True)
            self._draining.start()

    def _drain(self) -> None:
        """A person's wish: nothing new, and what has begun comes to its own end."""
        log.info("draining", node=self._settings.name)
        self.performances.close()
        self._stop_consuming()
        until = time.monotonic() + self._settings.drain_seconds
        self.performances.wait_until_idle(self._settings.drain_seconds)
        self._coordinator.wait_until_none(max(0.0, until - time.monotonic()))
        os.kill(os.getpid(), signal.SIGTERM)

    def _place_lost(self, why: str) -> None:
        """Another process is this node now: two of one name must not go on."""
        self.performances.close()
        os.kill(os.getpid(), signal.SIGTERM)
