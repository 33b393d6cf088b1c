"""The node's place on the server: taken at the start, kept by a call every few seconds, given up at the end.

On a thread of its own: the worker's timer was measured to stand still for 7 seconds in a broker's outage.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import IO, Any

import structlog

from workers import __version__
from workers.backoff import Backoff
from workers.server import Away, Orders, Refused, Server
from workers.settings import Settings, SettingsError

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 20.0  # longer than a lease: a place that is still taken then belongs to a living process
FASTEST_SECONDS = 0.2
LAST_WORD_SECONDS = 3.0  # for a call on its way, which would take the place again after it was given up
NODE_ALIVE = "node_alive"

Facts = Callable[[], dict[str, Any]]


class Place:
    """The working path, which one process has at a time; it remembers the last one's incarnation.

    Whoever can lock it knows that the process before is dead, and may have its place at once.
    """

    def __init__(self, settings: Settings) -> None:
        self.path = settings.working_path
        self.incarnation = str(uuid.uuid4())
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._lock: IO[str] = open(self.path / "node.lock", "a+", encoding="ascii")  # noqa: SIM115  (for life)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                [f"another worker node works in {self.path}: give each its own BOTSWAIN_NODE_PATH or name"]
            ) from None
        except OSError as error:
            raise SettingsError(
                [f"BOTSWAIN_NODE_PATH {self.path} cannot be used: {error.strerror}"]
            ) from None
        self.replaces = self._exchange()

    def _exchange(self) -> str | None:
        file = self.path / "incarnation"
        before = None
        with contextlib.suppress(OSError, ValueError):
            before = str(uuid.UUID(file.read_text(encoding="ascii").strip()))
        file.write_text(self.incarnation, encoding="ascii")
        return before


class Registration(threading.Thread):
    """`facts` says what there is to tell; `obey` gets each answer's orders; `lost` is called with a sentence
    when another process has the name."""

    def __init__(
        self,
        server: Server,
        place: Place,
        facts: Facts,
        obey: Callable[[Orders], None],
        lost: Callable[[str], None],
    ) -> None:
        super().__init__(name="registration", daemon=True)
        self._server, self._place, self._facts = server, place, facts
        self._obey, self._lost = obey, lost
        self._ended = threading.Event()
        self._pause = FASTEST_SECONDS

    def join_cluster(self, wait: Callable[[float], None]) -> None:
        """Take the place, however long the server is away; `wait` pauses, and raises when the node is to end.

        Raises `Refused` where the server will not have this node: its token is wrong, or its name is taken.
        """
        backoff, until = Backoff(), time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._tell()
                return
            except Away as away:
                log.warning("server_away", error=str(away)[:200])
                until = time.monotonic() + PATIENCE_SECONDS
                wait(backoff.next(away.retry_after))
            except Refused as refused:
                if refused.code != NODE_ALIVE or time.monotonic() >= until:
                    raise
                log.warning("name_taken", reason=str(refused)[:300])
                wait(1.0)

    def run(self) -> None:
        while not self._ended.wait(self._pause):
            try:
                self._tell()
            except Away as away:
                log.warning("server_away", error=str(away)[:200])
                self._pause = max(FASTEST_SECONDS, min(self._pause, away.retry_after or self._pause))
            except Refused as refused:
                log.error("registration_refused", reason=str(refused)[:300])
                if refused.code == NODE_ALIVE:
                    self._lost(str(refused))
                    return
            except Exception:
                log.exception("registration_failed")

    def _tell(self) -> None:
        orders = self._server.register(self._own_facts())
        self._pause = max(FASTEST_SECONDS, orders.lease_seconds / 3)
        self._obey(orders)

    def _own_facts(self) -> dict[str, Any]:
        return {
            "incarnation": self._place.incarnation,
            "replaces": self._place.replaces,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "working_path": str(self._place.path),
            "version": __version__,
            **self._facts(),
        }

    def leave(self) -> None:
        """Give the place up; a server that is away finds out by the lease."""
        self._ended.set()
        if self.is_alive() and self is not threading.current_thread():
            self.join(LAST_WORD_SECONDS)
        try:
            self._server.leave(self._place.incarnation)
        except (Away, Refused) as problem:
            log.warning("left_without_saying", reason=str(problem)[:200])
