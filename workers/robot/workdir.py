"""The agent's folder: one agent at a time, its runs, its cached packages, its outbox, the scripts' library.

lock · instance · outbox/<job>.json · packages/<sha256>/ · library/<digest>/botswain.py …
runs/<job>/ arguments.json stdout.txt stderr.txt log.jsonl progress.json result.json stop stopped broker.json
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pkgutil
import shutil
import sys
import uuid
from pathlib import Path
from typing import IO, Optional

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

KEPT_RUNS = 50
LIBRARY = ("botswain.py", "botswain_queue.py", "botswain_broker.py")


class WorkDirError(Exception):
    """The folder cannot be used; the text says why and what to do."""


class WorkDir:
    """Opens and locks the folder. Raises WorkDirError."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.runs, self.packages = self.root / "runs", self.root / "packages"
        self.outbox = self.root / "outbox"
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.runs, self.packages, self.outbox):
                folder.mkdir(exist_ok=True)
            self._lock: IO[str] = open(self.root / "lock", "a+", encoding="ascii")  # noqa: SIM115 - held for life
            self.library = self._place_library()
        except OSError as trouble:
            raise WorkDirError(f"the work folder {self.root} cannot be used: {trouble}") from trouble
        if not _locked(self._lock):
            raise WorkDirError(f"another agent works in {self.root}: give this one its own --work-dir")
        self.instance = self._instance()

    def _instance(self) -> str:
        """What tells this agent from another one with its GUID. It stays with the folder, so that an agent
        which was started again is known to be the same."""
        file = self.root / "instance"
        with contextlib.suppress(OSError, ValueError):
            return str(uuid.UUID(file.read_text(encoding="ascii").strip()))
        made = str(uuid.uuid4())
        with contextlib.suppress(OSError):
            file.write_text(made, encoding="ascii")
        return made

    def new_run(self, guid: str) -> Path:
        """An empty folder for a run. A second attempt of the same job gets one of its own."""
        folder, attempt = self.runs / guid, 1
        while True:
            try:
                folder.mkdir(mode=0o700)
                return folder
            except FileExistsError:
                attempt += 1
                folder = self.runs / f"{guid}-{attempt}"

    def prune_runs(self) -> None:
        """Keep the newest runs only."""
        runs = sorted(self.runs.iterdir(), key=lambda run: run.stat().st_mtime, reverse=True)
        for old in runs[KEPT_RUNS:]:
            shutil.rmtree(old, ignore_errors=True)

    def _place_library(self) -> Path:
        """The folder with the modules for the scripts, which cannot import them out of the .pyz."""
        sources = {name: pkgutil.get_data(__package__, f"script/{name}") or b"" for name in LIBRARY}
        folder = self.root / "library" / hashlib.sha256(b"\0".join(sources.values())).hexdigest()[:16]
        for name, source in sources.items():
            target = folder / name
            if not target.is_file() or target.read_bytes() != source:
                folder.mkdir(parents=True, exist_ok=True)
                staged = folder / f"{name}.{os.getpid()}.part"
                staged.write_bytes(source)
                os.replace(staged, target)
        return folder


def default_root() -> Path:
    """Where the agent keeps its folder unless told: the home folder, or Windows' local application data."""
    local: Optional[str] = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None
    return Path(local) / "Botswain" / "robot" if local else Path.home() / ".botswain-robot"


def _locked(lock: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            lock.seek(0)
            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
