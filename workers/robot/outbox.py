"""How finished runs ended, kept on disk until the server has answered: results outlive the agent."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Optional

from .protocol import ABORTED, ABORTING, FAILED, STOPPED, STOPPING


@dataclass(frozen=True)
class Report:
    """The last job/update of a run. `result` is JSON text."""

    guid: str
    status: int
    result: Optional[str] = None
    error: Optional[str] = None
    progress: Optional[int] = None
    fence: Optional[int] = None

    def instead(self, job_status: Optional[int]) -> Optional[Report]:
        """What may be said instead, where the server's job is in `job_status` and refuses this.

        A stop and an abort can overtake each other on the way: 2 allows no Stopped, and 6 no Aborted.
        """
        allowed = {(STOPPED, ABORTING): ABORTED, (ABORTED, STOPPING): STOPPED}
        status = allowed.get((self.status, job_status or 0))
        return None if status is None else replace(self, status=status)

    def reduced(self, why: str) -> Optional[Report]:
        """What may be said where the server cannot take the contents: a failure, which says why."""
        if self.result is not None:
            return replace(
                self, status=FAILED, result=None, error=f"the server did not take the result: {why}"
            )
        short = f"the server did not take the error's text: {why}"
        return None if self.error in (None, short) else replace(self, error=short)


class Outbox:
    """Reports in `folder`, one file a run. `robot` tells this robot's from another's who used the folder."""

    def __init__(self, folder: Path, robot: str) -> None:
        self._folder, self._robot = folder, robot

    def keep(self, report: Report) -> None:
        """Put the report on disk for good. Raises OSError when the disk does not take it."""
        staged = self._folder / f"{report.guid}.part"
        try:
            with open(staged, "w", encoding="utf-8") as out:
                json.dump({"robot": self._robot, **asdict(report)}, out)
                out.flush()
                os.fsync(out.fileno())
            os.replace(staged, self._path(report))
            _sync_folder(self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                staged.unlink()
            raise

    def remove(self, report: Report) -> None:
        """The server has answered. A disk that refuses this costs one needless, harmless report later."""
        with contextlib.suppress(OSError):
            self._path(report).unlink()

    def waiting(self) -> "list[Report]":
        """What is still to be delivered, oldest first."""
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
        return [report for report in map(self._read, files) if report is not None]

    def _path(self, report: Report) -> Path:
        return self._folder / f"{report.guid}.json"

    def _read(self, path: Path) -> Optional[Report]:
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            if fields.pop("robot") != self._robot:
                return None
            return Report(**fields)
        except (ValueError, TypeError, KeyError, AttributeError):
            os.replace(path, path.with_suffix(".unreadable"))  # kept for a person; in the way of nobody
            return None


def _sync_folder(folder: Path) -> None:
    """The rename itself is only sure once its folder is on disk. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
