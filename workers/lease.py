"""The lease of a task that this node does: renewed on a thread of its own, and given up in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

import structlog

from workers.server import Away, Order, Refused, Server

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0


class Lease:
    """Renews from entering to leaving the `with` block.

    `on_lost` is called once, with a sentence, when another may have the task: the server says so, or could
    not be asked until the lease's end. That end is counted here from before the renewal was sent, on the
    monotonic clock: a node that is cut off stops by itself. `work_is_done` only the server's word counts.
    """

    def __init__(self, server: Server, order: Order, on_lost: Callable[[str], None]) -> None:
        self._server, self._order, self._on_lost = server, order, on_lost
        self._over = threading.Event()
        self._done = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{order.guid[:8]}", daemon=True)

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    def work_is_done(self) -> None:
        """Only the report is left, and it either counts or is refused: there is nothing to stop any more."""
        self._done.set()

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()

    def _keep(self) -> None:
        seconds = self._order.lease_seconds
        until, pause = time.monotonic() + seconds, seconds / 3
        while not self._over.wait(pause):
            began = time.monotonic()
            try:
                self._server.renew(self._order.guid, self._order.fence)
            except Refused as refused:
                self._lose(f"the task has passed to another: {refused}")
                return
            except Away as away:
                pause = max(0.1, min(RETRY_SECONDS, seconds / 6))
                log.warning("lease_not_renewed", task=self._order.guid, error=str(away)[:200])
            else:
                until, pause = began + seconds, seconds / 3
            if time.monotonic() >= until and not self._done.is_set():
                self._lose("its lease has ended, and the server could not be asked to renew it")
                return

    def _lose(self, why: str) -> None:
        if not self._over.is_set():
            self._lost.set()
            self._on_lost(why)
