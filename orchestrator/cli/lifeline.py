"""How a process ends with the one that started it, even when that one is killed.

On Linux the kernel sees to it. Elsewhere a small process between the two looks for its parent once a second:
`python -m orchestrator.cli.lifeline SIGNAL program argument...`
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

POLL_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1
_HAS_KERNEL_HELP = sys.platform.startswith("linux")


def bind_to(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn`: the new process gets `death_signal` when `parent` ends. None where that is not known.

    The kernel means the *thread* that started it, so only a thread that lives as long may use this.
    """
    if not _HAS_KERNEL_HELP:
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after a fork nothing may be imported

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died in between, and the signal would never come
            os._exit(1)

    return ask_kernel


def tie_to_parent(death_signal: signal.Signals) -> None:
    """The same for the process that calls it."""
    if ask_kernel := bind_to(os.getppid(), death_signal):
        ask_kernel()


def tied(argv: Sequence[str], death_signal: signal.Signals) -> list[str]:
    """The command to start in place of `argv`: the same, or with the process that looks for its parent."""
    if _HAS_KERNEL_HELP:
        return list(argv)
    return [sys.executable, "-P", "-m", __name__, str(int(death_signal)), *argv]


def stand_between(death_signal: int, argv: Sequence[str]) -> int:
    """Run `argv` to its end, pass signals on, and end it when this process has lost its parent."""
    parent = os.getppid()
    process = subprocess.Popen(list(argv), close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda given, _frame: process.send_signal(given))
    while True:
        try:
            return process.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                process.send_signal(death_signal)
                parent = os.getppid()


if __name__ == "__main__":
    status = stand_between(int(sys.argv[1]), sys.argv[2:])
    sys.exit(status if status >= 0 else 128 - status)
