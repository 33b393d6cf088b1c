"""What people see of the maintenance window: whether it is open, until when, and when it opens next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.cluster.surroundings import MAINTENANCE_WINDOW
from orchestrator.window import NotAWindow, Window


@dataclass(frozen=True)
class WindowView:
    """`rule` is the setting. `opens_at` is null while it is open, `closes_at` the end of the opening that
    goes on or comes next. Both are null where that never comes: `always`, `never`."""

    rule: str
    is_open: bool
    opens_at: datetime | None
    closes_at: datetime | None


def seen_at(now: datetime, master: Any | None, configured: str) -> WindowView:
    """As the scheduler that is master has it, as it is the one that moves rows. `configured` is this
    process's setting, where there is no master or it does not say."""
    told = (master.surroundings or {}).get(MAINTENANCE_WINDOW) if master is not None else None
    try:
        return _view(now, told or configured)
    except NotAWindow:  # a rule of a later version
        return _view(now, configured)


def _view(now: datetime, rule: str) -> WindowView:
    window = Window.read(rule)
    is_open = window.is_open(now)
    opens_at = None if is_open else window.next_turn(now)
    begin = now if is_open else opens_at
    return WindowView(rule, is_open, opens_at, window.next_turn(begin) if begin else None)
