"""Places at which a test has this process killed, stopped or slowed. For tests only, and not by accident.

    BOTSWAIN_TESTING=1 BOTSWAIN_FAILPOINTS="before_commit_hand_out=kill:0.01,after_hint=pause:2"

`kill` and `stop` are SIGKILL and SIGSTOP to the process itself; the number is a probability, 1 by default.
`pause` is a sleep of the calling thread, in seconds. Each step of a transaction (`Transaction.step`) has two
points, on either side of its commit. Nothing set costs a look at an empty dictionary.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass

STEPS = (
    "create",
    "hand_out",
    "claim",
    "dispatch",
    "consume",
    "report",
    "start_task",
    "finish_task",
    "put_back",
    "adopt",
    "give_back",
    "renew",
    "lose",
    "move",
    "master",
)
POINTS = frozenset(
    {f"{moment}_{step}" for moment in ("before_commit", "after_commit") for step in STEPS}
    | {"before_hint", "after_hint", "before_handing_over"}
)
SIGNALS = {"kill": "SIGKILL", "stop": "SIGSTOP"}  # by name: Windows knows neither
PAUSE = "pause"


@dataclass(frozen=True)
class Failpoint:
    action: str
    number: float


_armed: dict[str, Failpoint] = {}


def read(text: str) -> tuple[dict[str, Failpoint], list[str]]:
    """What a setting says, and what is wrong with it: a sentence each."""
    found, problems = {}, []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        point, _, what = entry.partition("=")
        action, _, number = what.partition(":")
        if point not in POINTS:
            problems.append(
                f"BOTSWAIN_FAILPOINTS names {point!r}: there is no such point; there are {_names()}"
            )
        elif action not in (*SIGNALS, PAUSE) or not _is_number(number, needed=action == PAUSE):
            problems.append(
                f"BOTSWAIN_FAILPOINTS says {entry!r}: "
                "write POINT=kill, POINT=stop (a probability after a colon) or POINT=pause:SECONDS"
            )
        else:
            found[point] = Failpoint(action, float(number or 1))
    return found, problems


def _names() -> str:
    return ", ".join(sorted(POINTS))


def _is_number(text: str, *, needed: bool) -> bool:
    if not text:
        return not needed
    try:
        return 0 <= float(text) < 3600
    except ValueError:
        return False


def arm(text: str) -> None:
    """From here on, in this process. The text has been found readable."""
    _armed.clear()
    _armed.update(read(text)[0])


def reached(moment: str, step: str = "") -> None:
    """The process is at this point now: `moment`, or, in a transaction, `moment` of `step`."""
    if _armed:
        _act(f"{moment}_{step}" if step else moment)


def _act(point: str) -> None:
    failpoint = _armed.get(point)
    if failpoint is None:
        return
    if failpoint.action == PAUSE:
        time.sleep(failpoint.number)
    elif random.random() < failpoint.number:  # noqa: S311  (which of many is hit is no secret)
        # Past every buffer: it is the last that is heard of the process.
        os.write(2, f'{{"event": "failpoint", "point": "{point}"}}\n'.encode())
        os.kill(os.getpid(), getattr(signal, SIGNALS[failpoint.action]))
