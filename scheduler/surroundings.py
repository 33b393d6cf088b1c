"""A look around each half minute, on a thread of its own: a Redis or a disk that hangs holds up nothing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from orchestrator import errors
from orchestrator.cluster.surroundings import MAINTENANCE_WINDOW, STALE_WRITES, Notice, look
from orchestrator.wiring import Parts
from scheduler.membership import Membership

log = structlog.get_logger(__name__)

EVERY_SECONDS = 30.0


class Lookout(threading.Thread):
    """What it finds goes into SQL with the membership's next renewal, and what is new into the log."""

    def __init__(self, parts: Parts, membership: Membership, stop: threading.Event) -> None:
        super().__init__(name="lookout", daemon=True)
        self._parts = parts
        self._membership = membership
        self._stop_asked = stop
        self._told: Sequence[Notice] = ()

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.look()
            except errors.Unavailable:
                pass  # the sweep says so
            except Exception:
                log.exception("lookout_failed", node=self._membership.me.name)
            self._stop_asked.wait(EVERY_SECONDS)

    def look(self) -> None:
        parts = self._parts
        database_now = self._membership.run(lambda tx: tx.now, read_only=True)
        found = look(parts.redis, database_now, self._folders(), parts.config.least_free_bytes)
        self._membership.surroundings = found.as_json() | {
            MAINTENANCE_WINDOW: parts.config.maintenance_window_given,  # people see the master's
            STALE_WRITES: self._membership.stale_writes,
        }
        for notice in found.notices:
            if notice.code not in {told.code for told in self._told}:
                log.warning("notice", node=self._membership.me.name, code=notice.code, detail=notice.sentence)
        self._told = found.notices

    def _folders(self) -> list[Path]:
        url = self._parts.config.database_url
        folders = [Path(self._membership.me.working_path)]
        if url.get_backend_name() == "sqlite" and url.database:
            folders.append(Path(url.database).absolute().parent)
        return folders
