"""The folder of an embedded cluster: its secrets, its logs, and that only one cluster uses it."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.cli.refusal import Refusal

LAST_ONES_SECONDS = 10.0  # for what a killed supervisor left behind to end
LOG_BYTES = 5 * 1024 * 1024


class DataFolder:
    """`path` is made when it is not there; nobody but its owner can look into it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            for folder in (self.secrets, self.logs):
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Refusal(f"--data {self.path} cannot be used: {error.strerror}") from None

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def lock(self) -> int:
        """Take the folder; the file descriptor holds it, here and in every process that inherits it.

        So the folder is free only when the last process of its cluster has ended. Raises `Refusal` while
        another cluster runs in it.
        """
        held = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LAST_ONES_SECONDS
        while not _try_lock(held):
            owner = _pid_in(held)
            if _lives(owner) or time.monotonic() > deadline:
                os.close(held)
                raise Refusal(
                    f"{self.path} is in use by another cluster (process {owner}): "
                    "end that one first, or name another folder with --data"
                )
            time.sleep(0.05)
        os.ftruncate(held, 0)
        os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
        return held

    def secret(self, name: str) -> str:
        """The secret with this name, made at its first use."""
        found = self.read_secret(name)
        if found:
            return found
        made = secrets.token_urlsafe(32)
        self.keep_secret(name, made)
        return made

    def read_secret(self, name: str) -> str:
        """The secret with this name, empty where there is none."""
        path = self.secrets / name
        try:
            path.chmod(0o600)
            return path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise Refusal(f"{path} cannot be read: {error.strerror}") from None

    def keep_secret(self, name: str, value: str) -> None:
        write_privately(self.secrets / name, f"{value}\n")

    def open_log(self, part: str) -> int:
        """The end of the part's log; one that has grown large is set aside first."""
        path = self.logs / f"{part}.log"
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_BYTES:
                path.replace(path.with_suffix(".log.1"))
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def last_lines(self, part: str, count: int = 5) -> list[str]:
        """The end of the part's log, for a person."""
        try:
            with (self.logs / f"{part}.log").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        return [line for line in lines if line.strip()][-count:]


def write_privately(path: Path, text: str) -> None:
    """Write the file whole or not at all, for its owner's eyes only."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _try_lock(held: int) -> bool:
    if sys.platform == "win32":
        raise Refusal("botswain up needs Linux or macOS; on Windows start the parts one by one")
    import fcntl

    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_in(held: int) -> int:
    try:
        return int(os.pread(held, 32, 0) or b"0")
    except ValueError:
        return 0


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
