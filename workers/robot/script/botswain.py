"""What a robot's script says to Botswain. It is on the script's path wherever the agent runs it:

    from botswain import arguments, result, progress, should_stop, log

    for number, invoice in enumerate(arguments["invoices"], start=1):
        if should_stop():
            break
        ...
        progress(100 * number / len(arguments["invoices"]), invoice)
    result({"checked": number})

The queues that robots share are in botswain_queue.py: `queue`, `BusinessError`, `Refused`, `TooManyFailures`.

Run by hand, without the agent, `arguments` is empty, and results and progress are printed.

A soft stop arrives as SIGTERM (CTRL_BREAK on Windows) and as a file. A script that asks `should_stop()`
decides itself where to end. One that has never asked gets `Stopped` raised in its main thread, wherever it
is, so that its `finally` and `with` blocks run. A run that ends by `Stopped` is reported as Stopped; so is
one that ends normally after a stop was asked for, unless it has handed over its `result`: that is Success.
"""

from __future__ import annotations

import datetime
import importlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Optional

__all__ = [
    "Stopped",
    "arguments",
    "job",
    "log",
    "progress",
    "raise_if_stopping",
    "result",
    "should_stop",
    "task",
]

MOST_RESULT = 1024 * 1024  # bytes of JSON
_OF_QUEUES = ("BusinessError", "Item", "Refused", "TooManyFailures", "queue")

arguments: Any  # what the job was given: a dict, unless it was created with another JSON value
job: "dict[str, Any]"  # GUID, Name, Attempt … of the job
task: "dict[str, Any]"  # GUID, Name, QueueGUID, Parameters: the resource that the job was created for

_folder: Optional[Path] = (
    Path(os.environ["BOTSWAIN_RUN_FOLDER"]) if "BOTSWAIN_RUN_FOLDER" in os.environ else None
)
_input: "dict[str, Any]" = {}
_lock = threading.Lock()
_signalled = False
_asks = False  # the script has called should_stop(), and so chooses itself where to end


class Stopped(BaseException):
    """The run was asked to stop. Not an Exception, so that `except Exception` does not swallow it."""


def result(value: Any) -> None:
    """Hand over the job's result, any JSON value up to 1 MiB; the last one counts.

    Raises TypeError or ValueError when it is not JSON or too large; what was handed over before stays.
    """
    text = json.dumps(value, allow_nan=False)
    if len(text) > MOST_RESULT:
        raise ValueError(
            f"the result is {len(text)} bytes of JSON; the limit is {MOST_RESULT}: keep it elsewhere"
        )
    if not _write("result.json", text):
        print("result:", text)


def progress(percent: float, text: str = "") -> None:
    """Say how far the run is, from 0 to 100. It is sent about once a second, however often it is called."""
    if not 0 <= percent <= 100:
        raise ValueError(f"progress is a percentage from 0 to 100, not {percent!r}")
    if not _write("progress.json", json.dumps({"percent": percent, "text": text})):
        print(f"progress: {percent:g} % {text}".rstrip())


def should_stop() -> bool:
    """True once somebody has asked this run to stop: finish what is begun, and end."""
    global _asks
    _asks = True
    return _signalled or (_folder is not None and (_folder / "stop").exists())


def raise_if_stopping() -> None:
    """Raise Stopped once a stop was asked for."""
    if should_stop():
        raise Stopped


def log(message: str, **fields: Any) -> None:
    """A line for people on standard output, and one of JSON, with the fields, in the run's `log.jsonl`."""
    print(message, *(f"{name}={value}" for name, value in fields.items()), flush=True)
    if _folder is None:
        return
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
    line = json.dumps({**fields, "time": now, "message": message}, default=str)
    with _lock, open(_folder / "log.jsonl", "a", encoding="utf-8") as out:
        out.write(line + "\n")


def __getattr__(name: str) -> Any:
    """`arguments`, `job` and `task` are read from the file when they are first asked for."""
    if name in _OF_QUEUES:  # imported when needed: most scripts have no queue
        return getattr(importlib.import_module("botswain_queue"), name)
    if name not in ("arguments", "job", "task"):
        raise AttributeError(f"module 'botswain' has no attribute {name!r}")
    with _lock:
        if not _input and "BOTSWAIN_ARGUMENTS" in os.environ:
            _input.update(json.loads(Path(os.environ["BOTSWAIN_ARGUMENTS"]).read_text(encoding="utf-8")))
    return _input.setdefault(name, {})


def _write(name: str, text: str) -> bool:
    """Replace a file of the run's folder, so that nobody reads half of it; False without an agent."""
    if _folder is None:
        return False
    with _lock:
        staged = _folder / f"{name}.part"
        staged.write_text(text, encoding="utf-8")
        os.replace(staged, _folder / name)
    return True


def _on_signal(number: int, frame: Optional[FrameType]) -> None:
    global _signalled
    first, _signalled = not _signalled, True
    if first and not _asks:
        raise Stopped


def _on_uncaught(
    kind: "type[BaseException]", value: BaseException, traceback: Optional[TracebackType]
) -> None:
    if _folder is not None and issubclass(kind, Stopped):
        (_folder / "stopped").touch()  # tells the agent this exit code 1 from a failure's
    else:
        sys.__excepthook__(kind, value, traceback)


def _listen() -> None:
    number = getattr(signal, "SIGBREAK", signal.SIGTERM)
    sys.excepthook = _on_uncaught
    # A script with a handler of its own, or one that imports this in another thread, still has the file.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(number) == signal.SIG_DFL:
        signal.signal(number, _on_signal)


if _folder is not None:
    _listen()
