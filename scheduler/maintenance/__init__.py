"""The duties of the master: one a file, each safe to run twice, each saying what it did as counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.maintenance import (
    beats,
    expired_keys,
    history,
    limits,
    lines,
    lost_runs,
    nodes,
    orders,
    repairs,
    resources,
    sessions,
    stalled_runs,
    time_limits,
    triggers,
)
from scheduler.term import Term

Counts = dict[str, int]


@dataclass(frozen=True)
class Duty:
    """`run` is called each `every` seconds in the master's term, and returns counts of what it changed.

    People see `name`, the counts, how long it took, and `term.progress(done, total)` where a run is long.
    What it raises is shown as its error, and it is tried again, later each time; the others go on.
    `judges_silence`: not while robots may have been unable to speak, after a start or an outage.
    """

    name: str
    every: float
    run: Callable[[Term], Counts]
    judges_silence: bool = False


# In this order: a run is not called lost before the beats that renewed it have been carried to SQL.
DUTIES = (
    Duty("carry_beats", 2.0, beats.run),
    Duty("end_lost_runs", 1.0, lost_runs.run, judges_silence=True),
    Duty("end_overdue_runs", 1.0, time_limits.run),
    Duty("watch_stalls", 1.0, stalled_runs.run),
    Duty("mark_lines", 2.0, lines.run),
    Duty("let_in_held_jobs", 2.0, limits.run),
    Duty("repeat_orders", 2.0, orders.run),
    Duty("open_sessions", 1.0, sessions.run),
    Duty("sweep_resources", 1.0, resources.run),
    Duty("fire_triggers", 1.0, triggers.run),
    Duty("forget_firings", 600.0, triggers.forget),
    Duty("repair_redis", 60.0, repairs.run),
    Duty("expire_keys", 600.0, expired_keys.run),
    Duty("forget_nodes", 600.0, nodes.run),
    Duty("move_to_history", 1.0, history.run),
)
