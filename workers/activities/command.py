"""botswain.command: runs a program that the owner of the machine has allowed by name.

What the task says goes to the program's standard input as JSON, and never into its command line. The program
and all that it starts in its group are killed when the time is up.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import Field

from workers.activities.activity import ActivityError, Arguments, Context, read
from workers.activities.allowed_commands import AllowedCommand
from workers.lifeline import die_with_parent

OUTPUT_LIMIT = 64 * 1024  # of each stream
SHOWN = 500


class Command(Arguments):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    arguments: Any = None


def command(arguments: Any, context: Context) -> Any:
    """`name`, and `arguments` (any JSON). Returns `{"exit_code", "stdout", "stderr", "truncated"}`."""
    given = read(Command, arguments)
    allowed = context.settings.commands.get(given.name)
    if allowed is None:
        names = ", ".join(sorted(context.settings.commands)) or "none"
        raise ActivityError(f"name: this node allows no command {given.name!r}; it allows: {names}.")
    return _Execution(given.name, allowed, context).run(json.dumps(given.arguments).encode())


class _Execution:
    def __init__(self, name: str, allowed: AllowedCommand, context: Context) -> None:
        self._name, self._allowed, self._context = name, allowed, context
        self._is_late = False
        self._lock = threading.Lock()
        self._is_reaped = False

    def run(self, document: bytes) -> dict[str, Any]:
        folder = self._context.settings.working_path / "commands"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        process = self._start(folder)
        timer = threading.Timer(self._allowed.timeout, self._expire, [process])
        timer.daemon = True
        timer.start()
        try:
            with self._context.on_interrupt(lambda: self._kill(process)):
                out, err = self._talk(process, document)
        finally:
            timer.cancel()
            self._kill(process)
            with self._lock:
                process.wait()
                self._is_reaped = True
        return self._verdict(process.returncode, out, err)

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._allowed.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=dict(self._context.settings.environment),
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        except (OSError, ValueError) as error:
            raise ActivityError(f"The command {self._name} cannot be started: {error}") from None

    def _expire(self, process: subprocess.Popen[bytes]) -> None:
        self._is_late = True
        self._kill(process)

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        """The whole group; never once the leader's number may have passed to a stranger."""
        with self._lock, contextlib.suppress(OSError):
            if not self._is_reaped:
                os.killpg(process.pid, signal.SIGKILL)

    def _talk(self, process: subprocess.Popen[bytes], document: bytes) -> tuple[_Stream, _Stream]:
        out, err = _Stream(process.stdout), _Stream(process.stderr)
        feeder = threading.Thread(target=_feed, args=(process.stdin, document), daemon=True)
        feeder.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._kill(process)  # else a program that it left in the background would hold the pipes open
        for thread in (feeder, out, err):
            thread.join(1.0)
        return out, err

    def _verdict(self, exit_code: int, out: _Stream, err: _Stream) -> dict[str, Any]:
        self._context.check()
        if self._is_late:
            limit = f"{self._allowed.timeout:g} seconds"
            raise ActivityError(f"The command {self._name} took longer than {limit} and was killed.")
        if exit_code != 0:
            how = f"exit code {exit_code}" if exit_code > 0 else f"signal {-exit_code}"
            said = err.text().strip()[-SHOWN:]
            raise ActivityError(f"The command {self._name} ended with {how}{': ' if said else '.'}{said}")
        truncated = out.truncated or err.truncated
        return {"exit_code": 0, "stdout": out.text(), "stderr": err.text(), "truncated": truncated}


class _Stream(threading.Thread):
    """Reads to the end, so that the program never waits for us, and keeps the beginning."""

    def __init__(self, source: IO[bytes] | None) -> None:
        assert source is not None  # noqa: S101  (a pipe was asked for)
        super().__init__(daemon=True)
        self._source = source
        self._kept = b""
        self.truncated = False
        self.start()

    def run(self) -> None:
        with self._source:
            while chunk := os.read(self._source.fileno(), 65536):
                room = OUTPUT_LIMIT - len(self._kept)
                self.truncated = self.truncated or len(chunk) > room
                self._kept += chunk[:room]

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").replace("\x00", "\ufffd")


def _feed(pipe: IO[bytes], document: bytes) -> None:
    with contextlib.suppress(OSError), pipe:  # it need not read its input
        pipe.write(document)
