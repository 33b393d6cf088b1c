"""How a run ended, told by how its process ended: the states that the robot reports."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from .protocol import ABORTED, FAILED, STOPPED, SUCCESS

_CONTROL_C = 0xC000013A  # how Windows says that CTRL_BREAK or CTRL_C ended a process
# By the signal itself, as Popen says it, or by a shell's way of saying it.
_STOP_CODES = {-signal.SIGTERM, -signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGINT, _CONTROL_C}


@dataclass(frozen=True)
class Ending:
    """What is known once the process has ended."""

    exit_code: int
    stop_asked: bool = False  # a soft stop reached it while it ran
    killed: bool = False  # a hard stop did
    said_stopped: bool = False  # it ended by botswain.Stopped
    has_result: bool = False


def status_of(ending: Ending) -> int:
    """The job's final state.

    After a soft stop, exit code 0 is Stopped, unless the script had handed over its result: then it had
    finished its work, and it is Success. Another exit code is Failed, unless the stop itself ended it.
    """
    if ending.killed:
        return ABORTED
    if ending.exit_code == 0:
        return STOPPED if ending.stop_asked and not ending.has_result else SUCCESS
    if ending.stop_asked and (ending.said_stopped or ending.exit_code in _STOP_CODES):
        return STOPPED
    return FAILED


def describe(exit_code: int) -> str:
    """The end of a failed script in words."""
    if exit_code >= 0:
        return f"the script ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"the script was ended by {name}"
