"""What Linux knows about a server's processes, and how a server dies with the test that started it."""

import ctypes
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` after which the process gets `death_signal` when the thread that started it ends.

    The *thread*: a server started on a short-lived thread dies with it. Elsewhere than on Linux there is no
    such thing, and a server outlives a test process that was killed.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: after fork nothing may be imported

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)

    return ask_kernel


def family(pid: int) -> list[int]:
    """`pid` and its descendants: PostgreSQL answers from children, which outlive it for a moment."""
    return [pid, *_descendants(pid)]


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield int(child)
        yield from _descendants(int(child))


def is_alive(pid: int) -> bool:
    """Whether the process runs or sleeps; a zombie, which holds nothing any more, is dead."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def works_in(pid: int, folder: Path) -> bool:
    """Whether the living process `pid` has its working directory inside `folder`."""
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True).is_relative_to(folder.resolve())
    except OSError:
        return False
