"""The state machine of jobs: every event that may move one, who may cause it, from where and to where.

The picture of it is docs/reference/job-states.md, and a test holds the two together. Robots' events are
those of Sherpa's Python framework document; people's and schedulers' are Botswain's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Status(IntEnum):
    CREATED = 0
    PENDING = 1
    ABORTING = 2
    ABORTED = 3
    SUCCESS = 4
    FAILED = 5
    STOPPING = 6
    STOPPED = 7
    IN_PROGRESS = 8


STATE_NAMES = {
    Status.CREATED: "Created",
    Status.PENDING: "Pending",
    Status.ABORTING: "Aborting",
    Status.ABORTED: "Aborted",
    Status.SUCCESS: "Success",
    Status.FAILED: "Failed",
    Status.STOPPING: "Stopping",
    Status.STOPPED: "Stopped",
    Status.IN_PROGRESS: "In_Progress",
}
TERMINAL = frozenset({Status.ABORTED, Status.SUCCESS, Status.FAILED, Status.STOPPED})
LIVE = frozenset({Status.IN_PROGRESS, Status.STOPPING, Status.ABORTING})  # a script may be running


class Who(StrEnum):
    ROBOT = "robot"
    PERSON = "person"
    SCHEDULER = "scheduler"


class Event(StrEnum):
    DISPATCH = "dispatch"
    CONSUME = "consume"
    RELEASE = "release"
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    REPORT_STOPPED = "report_stopped"
    REPORT_ABORTED = "report_aborted"
    CANCEL = "cancel"
    STOP = "stop"
    ABORT = "abort"
    TIME_OUT = "time_out"
    GIVE_UP = "give_up"
    LOSE = "lose"
    REQUEUE = "requeue"


@dataclass(frozen=True)
class Transition:
    event: Event
    who: Who
    sources: frozenset[Status]
    target: Status


def _transition(event: Event, who: Who, sources: set[Status], target: Status) -> Transition:
    return Transition(event, who, frozenset(sources), target)


_S = Status
TRANSITIONS = {
    transition.event: transition
    for transition in (
        _transition(Event.DISPATCH, Who.SCHEDULER, {_S.CREATED}, _S.PENDING),
        # Handed to a robot, and taken back from one that never started it: no change of state.
        _transition(Event.CONSUME, Who.ROBOT, {_S.PENDING}, _S.PENDING),
        _transition(Event.RELEASE, Who.SCHEDULER, {_S.PENDING}, _S.PENDING),
        _transition(Event.START, Who.ROBOT, {_S.PENDING}, _S.IN_PROGRESS),
        _transition(Event.SUCCEED, Who.ROBOT, {_S.IN_PROGRESS, _S.STOPPING, _S.ABORTING}, _S.SUCCESS),
        _transition(Event.FAIL, Who.ROBOT, {_S.IN_PROGRESS, _S.STOPPING, _S.ABORTING}, _S.FAILED),
        _transition(Event.REPORT_STOPPED, Who.ROBOT, {_S.IN_PROGRESS, _S.STOPPING}, _S.STOPPED),
        _transition(Event.REPORT_ABORTED, Who.ROBOT, {_S.IN_PROGRESS, _S.ABORTING}, _S.ABORTED),
        _transition(Event.CANCEL, Who.PERSON, {_S.CREATED, _S.PENDING}, _S.STOPPED),
        _transition(Event.STOP, Who.PERSON, {_S.IN_PROGRESS}, _S.STOPPING),
        _transition(Event.ABORT, Who.PERSON, {_S.IN_PROGRESS, _S.STOPPING}, _S.ABORTING),
        _transition(Event.TIME_OUT, Who.SCHEDULER, {_S.IN_PROGRESS, _S.STOPPING}, _S.ABORTING),
        _transition(Event.GIVE_UP, Who.SCHEDULER, {_S.ABORTING}, _S.FAILED),
        _transition(Event.LOSE, Who.SCHEDULER, {_S.IN_PROGRESS, _S.STOPPING, _S.ABORTING}, _S.FAILED),
        # Someone asked for the end of a stopping or aborting job: it fails, and is not begun anew.
        _transition(Event.REQUEUE, Who.SCHEDULER, {_S.IN_PROGRESS}, _S.CREATED),
    )
}

# The protocol's codes in the heartbeat's answer (HeartbeatErrorCode).
CODE_ABORTING, CODE_STOPPING = 10, 20
ORDERS = {Status.ABORTING: CODE_ABORTING, Status.STOPPING: CODE_STOPPING}

# What a robot's job/update asks for, by the status that it names.
ROBOT_EVENTS = {
    Status.IN_PROGRESS: Event.START,
    Status.SUCCESS: Event.SUCCEED,
    Status.FAILED: Event.FAIL,
    Status.STOPPED: Event.REPORT_STOPPED,
    Status.ABORTED: Event.REPORT_ABORTED,
}
