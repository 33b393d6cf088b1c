"""One scheduler of a drill, killed, paused and started again as often as it takes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.acceptance.cluster import Part
from tests.drill.nursery import Nursery
from tests.servers.processes import is_alive

STARTED = b'"event": "scheduler_started"'


class Member:
    def __init__(self, number: int, part: Part, nursery: Nursery) -> None:
        self.number = number
        self.log: Path = part.log
        self.sleeps_until: float | None = None  # on the monotonic clock; None: it is not paused
        self._environment = part.environment
        self._nursery = nursery
        self._pid = 0
        self._log_at = 0

    def start(self, **settings: str) -> None:
        """`settings` are for this life alone."""
        self._log_at = self.log.stat().st_size if self.log.exists() else 0
        self._pid = self._nursery.fork(self.number, {**self._environment, **settings}, self.log)
        self.sleeps_until = None

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def is_alive(self) -> bool:
        return self._pid != 0 and is_alive(self._pid)

    @property
    def is_at_work(self) -> bool:
        """Whether this life has joined the cluster, and is not paused."""
        return self.sleeps_until is None and self.is_alive and STARTED in self._said()

    def has_said(self, text: str) -> bool:
        """Whether the log of this life has it."""
        return text.encode() in self._said()

    def clock_is_ahead(self) -> float:
        """Seconds by which its log, which it has just begun, is ahead of this machine's clock."""
        line = next(line for line in self._said().splitlines() if STARTED in line)
        told = datetime.fromisoformat(json.loads(line)["timestamp"])
        return (told - datetime.now(UTC)).total_seconds()

    def _said(self) -> bytes:
        if not self.log.exists():
            return b""
        with self.log.open("rb") as log:
            log.seek(self._log_at)
            return log.read()

    def kill(self) -> None:
        """SIGKILL; back when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        while self.is_alive:
            time.sleep(0.001)

    def pause(self, seconds: float) -> None:
        """SIGSTOP; `wake` does not come by itself."""
        os.kill(self._pid, signal.SIGSTOP)
        self.sleeps_until = time.monotonic() + seconds

    def wake(self) -> None:
        self.sleeps_until = None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)

    def terminate(self) -> None:
        os.kill(self._pid, signal.SIGTERM)

    @property
    def has_stopped(self) -> bool:
        """Whether it stands still under SIGSTOP, by whosever hand."""
        try:
            status = Path(f"/proc/{self._pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] == "T"
