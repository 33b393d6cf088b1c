"""Why a job is where it is: reasons as codes for programs and sentences for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from orchestrator.cluster.lifecycle import SCHEDULER, living
from orchestrator.insights import jobs as seen
from orchestrator.insights.held import why_it_is_held_back
from orchestrator.insights.job_resource import why_it_may_not_begin
from orchestrator.insights.line import place_in_line, why_it_waits
from orchestrator.insights.reason import Reason
from orchestrator.insights.robots import doubled
from orchestrator.jobs.model import JobHistory
from orchestrator.jobs.states import LIVE, STATE_NAMES, TERMINAL, Event, Status
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.presence import Presence
from orchestrator.tasks.model import Task, TaskKind, TaskStatus
from orchestrator.transaction import Transaction

ENDS = {
    Status.SUCCESS: ("succeeded", "It ended in success"),
    Status.FAILED: ("failed", "It failed"),
    Status.ABORTED: ("aborted", "It was aborted"),
    Status.STOPPED: ("stopped", "It was stopped"),
}


ABORTS = {
    "time_limit": "It ran beyond its time limit",
    "stalled": "Its progress stood still, and it was ended",
}


@dataclass(frozen=True)
class Explanation:
    """The weightiest reason first."""

    status: int
    state: str
    reasons: list[Reason]


def job(tx: Transaction, guid: str, presence: Presence) -> Explanation:
    """Why the job is where it is. Raises `NotFound`."""
    row = seen.found(tx, guid)
    return Explanation(row.status, STATE_NAMES[Status(row.status)], list(_reasons(tx, row, presence)))


def _reasons(tx: Transaction, row: Any, presence: Presence) -> Iterator[Reason]:
    if row.status in TERMINAL:
        yield _end(tx, row)
    elif row.status in LIVE:
        yield from _run(tx, row)
        yield from _doubled(tx, row)
    elif row.status == Status.CREATED:
        yield from _before_handing_out(tx, row)
        yield from why_it_may_not_begin(tx, row)
    elif row.robot_id > 0:
        yield _taken(tx, row)
        yield from _doubled(tx, row)
    else:
        held = list(why_it_is_held_back(tx, row))
        yield from held
        yield from why_it_may_not_begin(tx, row)
        yield from place_in_line(tx, row) if held else why_it_waits(tx, row, presence)
    if row.attempt > 1 and row.status not in TERMINAL:
        yield _another_attempt(tx, row)


def _before_handing_out(tx: Transaction, row: Any) -> Iterable[Reason]:
    if row.not_before is not None and row.not_before > tx.now:
        yield Reason("not_before", f"It is not to begin before {_time(row.not_before)}.")
    elif (aside := _set_aside(tx, row)) is not None:
        yield aside
        return
    else:
        yield Reason("waits_for_scheduler", "It waits for a scheduler to hand it out.")
    schedulers = living(tx, SCHEDULER)
    if not schedulers:
        yield Reason("no_scheduler", "No scheduler is alive; start one, and waiting jobs are handed out.")
    elif all(node.is_draining for node in schedulers):
        yield Reason("schedulers_draining", "Every scheduler is draining, and takes nothing new.")


def _set_aside(tx: Transaction, row: Any) -> Reason | None:
    """The task that was to hand it out, where that failed for good."""
    query = (
        select(Task.guid, Task.error)
        .where(Task.kind == TaskKind.DISPATCH.value, Task.subject_id == row.id)
        .where(Task.tenant_id == tx.tenant_id, Task.error.is_not(None))
        .where(Task.status.in_([TaskStatus.FAILED.value, TaskStatus.POSTPONED.value]))
    )
    task = tx.execute(query).first()
    return None if task is None else Reason("set_aside", f"{task.error} Its task is {task.guid}.")


def _taken(tx: Transaction, row: Any) -> Reason:
    until = (
        f"; it goes back in line at {_time(row.lease_until)} unless the robot begins"
        if row.lease_until
        else ""
    )
    return Reason(
        "handed_to_robot",
        f"Robot {_robot(tx, row)} took it at {_time(row.consumed_at)} and has not said that it began{until}.",
    )


def _run(tx: Transaction, row: Any) -> Iterable[Reason]:
    name = _robot(tx, row)
    if row.status == Status.ABORTING:
        why = ABORTS.get(row.reason or "", "A hard stop was asked for")
        yield Reason(
            "abort_not_yet_obeyed",
            f"{why} at {_time(row.abort_requested_at)}; robot {name} has not yet ended it. "
            f"Without its answer it fails at {_time(row.run_until)}.",
        )
    if row.status == Status.STOPPING:
        yield Reason(
            "stop_not_yet_obeyed",
            f"A clean end was asked for at {_time(row.stop_requested_at)}; "
            f"robot {name} has not yet ended it.",
        )
    if row.stalled_at is not None and row.status != Status.ABORTING:
        yield Reason(
            "stalled",
            f"It stands still: robot {name} is heard, and the run makes no progress. Its process allows "
            f"{row.stalled_after_seconds} s without any; this was found at {_time(row.stalled_at)}.",
        )
    yield Reason("running", f"Robot {name} has been running it since {_time(row.started_at)}.")
    if row.lease_until is not None:
        yield Reason("lease", f"It counts as lost at {_time(row.lease_until)} unless the robot is heard of.")
    else:
        yield Reason("no_lease", "The robot has sent no heartbeat for it yet; only its time limit applies.")
    if row.run_until is not None and row.status != Status.ABORTING:
        yield Reason("time_limit", f"It is told to abort at {_time(row.run_until)}, its time limit.")


def _doubled(tx: Transaction, row: Any) -> Iterable[Reason]:
    robot = robots.find_by_id(tx, row.robot_id)
    other = doubled(robot, tx.now) if robot is not None else None
    if robot is not None and other is not None:
        yield Reason(
            "robot_doubled",
            f"Two programs speak with the GUID of robot {robot.name}: on {robot.machine} ({robot.ip}) and "
            f"on {other.machine} ({other.ip}). Only one can have the run: end the other.",
        )


def _end(tx: Transaction, row: Any) -> Reason:
    if row.status == Status.STOPPED and not row.robot_id:
        return Reason("cancelled", f"It was cancelled at {_time(row.finished_at)}, before any robot took it.")
    code, text = ENDS[Status(row.status)]
    cause = f": {row.error.strip().splitlines()[-1][:300]}" if row.error and row.error.strip() else ""
    return Reason(code, f"{text} at {_time(row.finished_at)} on robot {_robot(tx, row)}{cause or '.'}")


def _another_attempt(tx: Transaction, row: Any) -> Reason:
    query = (
        select(JobHistory.reason)
        .where(JobHistory.job_id == row.id, JobHistory.tenant_id == tx.tenant_id)
        .where(JobHistory.event == Event.REQUEUE.value)
        .order_by(JobHistory.id.desc())
        .limit(1)
    )
    why = tx.execute(query).scalar() or "The run before it was lost."
    return Reason("another_attempt", f"This is attempt {row.attempt} of {row.max_attempts}. {why}")


def _robot(tx: Transaction, row: Any) -> str:
    robot = robots.find_by_id(tx, row.robot_id)
    return str(robot.name) if robot is not None else "(unknown)"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "an unknown time"
