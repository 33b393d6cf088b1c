"""A script's processes on this system: how they start in a group of their own, are stopped, and die."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

MARK = "BOTSWAIN_RUN_FOLDER"  # in the environment of every process of a run
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9  # Windows has no such name
_PASSES = 10


def spawn_options() -> "dict[str, Any]":
    """Arguments for Popen that put the script into a group of its own."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    options: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "linux":
        options["preexec_fn"] = _die_with(os.getpid())
    return options


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the script alone: the programs it uses are its own to end. CTRL_BREAK reaches the group."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            os.kill(process.pid, signal.SIGTERM)  # not send_signal, which reaps an ended process


def await_end(process: subprocess.Popen[bytes]) -> None:
    """Return once the script has ended.

    On Linux it is left unreaped, so that its number stays taken and a later `kill` cannot hit a stranger.
    """
    if sys.platform == "linux":
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def kill(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the script and everything that it started, now."""
    if sys.platform == "win32":
        command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(command, check=False, capture_output=True)
        return
    _kill_group(process.pid)
    sweep(folder)


def sweep(folder: Path, below: bool = False) -> int:
    """Kill the processes marked with `folder` (or one below it), also those that left their group; how many.

    Linux only, where the environment of a process can be read; elsewhere nothing is found.
    """
    mark = os.fsencode(f"{MARK}={folder}{os.sep if below else chr(0)}")
    killed = 0
    for _ in range(_PASSES):  # again, as a process may fork while it is being looked for
        found = _marked(mark)
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, _SIGKILL)
        killed += len(found)
        if not found:
            break
    return killed


def _kill_group(leader: int) -> None:
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)


def _marked(mark: bytes) -> "list[int]":
    if sys.platform != "linux":
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and _carries(name, mark)]


def _carries(pid: str, mark: bytes) -> bool:
    if int(pid) == os.getpid():
        return False
    try:
        with open(f"/proc/{pid}/environ", "rb") as environment:
            return (b"\0" + environment.read()).find(b"\0" + mark) >= 0
    except OSError:  # ended, or somebody else's
        return False


def _die_with(parent: int) -> Any:
    """Run in the new process: it is to die when the agent does, even by SIGKILL. Best effort."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # a C library without it
        prctl = None
    return lambda: _bind_life(prctl, parent)


def _bind_life(prctl: Optional[Any], parent: int) -> None:
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between, and the signal would never come
            os._exit(1)
