"""One run: the script as a child process, the files between them, and what stops it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Mapping, Optional

from . import tree
from .outbox import Report
from .protocol import ABORTED, FAILED, STOPPED, SUCCESS, Offer
from .verdict import Ending, describe, status_of

MOST_RESULT = 1024 * 1024  # bytes of JSON
_TAIL_LINES, _TAIL_BYTES = 20, 4000


class Run:
    """The run of one offered job. Orders may come from any thread, and before it has started."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.folder: Optional[Path] = None
        self.interrupted = threading.Event()  # by an order of either kind
        self.stop_asked = self.killed = self.lost = False
        self._lock = threading.Lock()
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._ended = False

    def ask_to_stop(self) -> None:
        """Soft stop: the flag and the signal, once. A script that does not obey goes on."""
        with self._lock:
            if self.stop_asked or self._ended:
                return
            self.stop_asked = True
            self.interrupted.set()
            if self._process is not None:
                self._signal(self._process)

    def kill(self) -> None:
        """Hard stop: nothing of the script's tree is left."""
        with self._lock:
            if self.killed or self._ended:
                return
            self.killed = True
            self.interrupted.set()
            if self._process is not None and self.folder is not None:
                tree.kill(self._process, self.folder)

    def lose(self) -> None:
        """The server has given this run up: kill it, and report nothing of it."""
        with self._lock:
            self.lost = self.lost or not self._ended
        self.kill()

    @property
    def over(self) -> bool:
        """The script has ended, and orders come too late."""
        return self._ended

    def execute(self, folder: Path, entry: Path, library: Path) -> Report:
        """Run the script to its end. Raises OSError when it cannot be started."""
        self._start(folder, entry, library)
        process = self._process
        if process is None:
            return self.unstarted()
        tree.await_end(process)
        with self._lock:
            self._ended = True
        tree.kill(process, folder)  # what the script left running; a run's processes end with it
        return self._report(process.wait(), folder)

    def unstarted(self) -> Report:
        """How a run ends that was stopped before its script began."""
        return Report(self.offer.guid, ABORTED if self.killed else STOPPED, fence=self.offer.fence)

    def progress(self) -> Optional[int]:
        """Whole percents that the script has told, or None."""
        if self.folder is None:
            return None
        try:
            percent = json.loads((self.folder / "progress.json").read_text(encoding="utf-8"))["percent"]
            return min(100, max(0, int(percent)))
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            return None

    def _start(self, folder: Path, entry: Path, library: Path) -> None:
        arguments = folder / "arguments.json"
        arguments.write_text(json.dumps(_input(self.offer)), encoding="utf-8")
        environment = _environment(self.offer, folder, arguments, [library, _package_of(entry)])
        with open(folder / "stdout.txt", "wb") as out, open(folder / "stderr.txt", "wb") as err, self._lock:
            self.folder = folder
            if self.interrupted.is_set():
                return
            self._process = subprocess.Popen(
                [sys.executable, str(entry)],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                **tree.spawn_options(),
            )

    def _signal(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the signal back
            (self.folder or Path()).joinpath("stop").touch()
        tree.ask_to_stop(process)

    def _report(self, code: int, folder: Path) -> Report:
        result, complaint = _result(folder)
        stopped, has_result = (folder / "stopped").exists(), result is not None
        status = status_of(Ending(code, self.stop_asked, self.killed, stopped, has_result))
        error = None
        if status == SUCCESS and complaint:
            status, error = FAILED, complaint
        elif status == FAILED:
            error = f"{describe(code)}\n{_tail(folder / 'stderr.txt')}".strip()
        return Report(self.offer.guid, status, result, error, self.progress(), self.offer.fence)


def _input(offer: Offer) -> "dict[str, Any]":
    arguments = offer.task.get("Parameters")
    return {"arguments": {} if arguments is None else arguments, "job": offer.job, "task": offer.task}


def _package_of(entry: Path) -> Path:
    """The package's root: an entry may lie in a folder of it, and imports start from both."""
    return next((folder for folder in entry.parents if folder.name == "files"), entry.parent)


def _environment(offer: Offer, folder: Path, arguments: Path, paths: "list[Path]") -> Mapping[str, str]:
    """The script's environment: the agent's, less what identifies the robot."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("BOTSWAIN_ROBOT_")
    }
    inherited = environment.get("PYTHONPATH")
    environment.update(
        {
            "BOTSWAIN_ARGUMENTS": str(arguments),
            "BOTSWAIN_JOB": offer.guid,
            tree.MARK: str(folder),
            "PYTHONPATH": os.pathsep.join([*map(str, paths), *([inherited] if inherited else [])]),
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "PYTHONUNBUFFERED": "1",  # what was printed before a kill is in the file
        }
    )
    return environment


def _result(folder: Path) -> "tuple[Optional[str], Optional[str]]":
    """The result as JSON text, or what is wrong with it."""
    path = folder / "result.json"
    try:
        if path.stat().st_size > MOST_RESULT:
            return None, f"the result is {path.stat().st_size} bytes; the limit is {MOST_RESULT}"
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except FileNotFoundError:
        return None, None
    except (OSError, ValueError) as broken:
        return None, f"the result is not readable as JSON: {broken}"
    return text, None


def _tail(path: Path) -> str:
    """The last lines of what the script wrote to stderr."""
    try:
        with open(path, "rb") as source:
            source.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = source.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])
