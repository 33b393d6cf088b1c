"""Processes that a node starts end with it, also when it is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None] | None:
    """A `preexec_fn` after which the process is killed when the *thread* that starts it ends: so start what
    is to last from a thread that lasts. Linux only; elsewhere there is no such thing, and None is returned.

    To be called in the parent: after the fork nothing may be imported or looked up.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it has ended in between, and the signal would never come
            os._exit(1)

    return bind
