"""Exactly the drawn moves happen: every state × verb × actor × fence, through the verbs, on a database.

Each case is tried in a transaction of its own and undone; all tables are compared to the byte before and
after. A case that is not drawn must leave everything as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.errors import NotAllowedNow, NotFound
from orchestrator.jobs import consume, dispatch, lifecycle, moves, recovery, report
from orchestrator.jobs.model import Job, JobHistory
from orchestrator.jobs.report import Report
from orchestrator.jobs.states import LIVE, STATE_NAMES, Event, Status
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.transaction import Actor, Transaction
from tests.architecture import job_states_drawing as drawing
from tests.integration.conftest import on
from tests.integration.scene import (
    LEASE,
    PERSON,
    READY,
    SCHEDULER,
    WORKING,
    Scene,
    Tables,
    actor_of,
    column,
    with_fence,
)

ARROWS = {(event, source): target for event, source, target in drawing.arrows()}
FENCES = {"right": 0, "stale": -1, "newer": 1}
NUMBERS = {name: status.value for status, name in STATE_NAMES.items()}
GRACE = timedelta(seconds=30)


@dataclass(frozen=True)
class Situation:
    """A job in some state, `free` where no robot has taken it, and the robot that it is for."""

    name: str
    job: Any
    robot: Any
    task: ClaimedTask | None = None

    @property
    def state(self) -> str:
        return STATE_NAMES[Status(self.job.status)]


@dataclass(frozen=True)
class Case:
    """`event` is what the verb asks for, or None where it asks for nothing in this situation."""

    name: str
    event: str | None
    actor: Actor
    call: Callable[[Transaction], Any]
    expected: type[Exception] | None = None
    tenant_id: int = 1


@dataclass
class Fleet:
    scene: Scene
    on_lost: str
    situations: list[Situation]
    stranger: Any
    before: Tables


def situations(scene: Scene, on_lost: str) -> Iterator[Situation]:
    """One job in each state, led there by the verbs, each for a robot of its own."""

    def led(status: Status, *steps: Callable[[Any, str], Any]) -> Situation:
        robot = scene.robot(STATE_NAMES[status] + ("-taken" if steps else ""))
        (guid,) = scene.create(robot=robot.name, on_lost=on_lost, max_attempts=2, max_run_seconds=60)
        if status != Status.CREATED:
            scene.dispatch()
        for step in steps:
            step(robot, guid)
        job = scene.job(guid)
        assert job.status == status
        return Situation(robot.name, job, robot)

    def take(robot: Any, _guid: str) -> None:
        scene.consume(robot)

    def begin(robot: Any, guid: str) -> None:
        scene.consume(robot)
        scene.report(robot, guid, Status.IN_PROGRESS)

    def says(status: Status) -> Callable[[Any, str], Any]:
        return lambda robot, guid: scene.report(robot, guid, status)

    def stop(_robot: Any, guid: str) -> None:
        scene.stop(guid)

    def abort(_robot: Any, guid: str) -> None:
        scene.abort(guid)

    yield led(Status.PENDING)
    yield led(Status.PENDING, take)
    yield led(Status.IN_PROGRESS, begin)
    yield led(Status.STOPPING, begin, stop)
    yield led(Status.ABORTING, begin, abort)
    for end in (Status.SUCCESS, Status.FAILED, Status.STOPPED, Status.ABORTED):
        yield led(end, begin, says(end))
    created = led(Status.CREATED)
    (task,) = scene.claim_all()
    yield replace(created, task=task)


@pytest.fixture
def fleet(scene: Scene, request: pytest.FixtureRequest) -> Fleet:
    found = list(situations(scene, request.param))
    stranger = scene.robot("stranger")
    _, before = scene.trial(lambda _: None)
    return Fleet(scene, request.param, found, stranger, before)


def asked(case: Case, at: Situation) -> tuple[str, str] | None:
    """(event, target) if the drawing has an arrow for this case."""
    if case.event is None or (case.event, at.state) not in ARROWS:
        return None
    return case.event, ARROWS[case.event, at.state]


def faults(fleet: Fleet, case: Case, at: Situation) -> list[str]:
    """What is wrong with how the case ended."""
    outcome, after = fleet.scene.trial(case.call, actor=case.actor, tenant_id=case.tenant_id)
    drawn = asked(case, at)
    found: list[str] = []
    if drawn is None:
        if after != fleet.before:
            found.append(f"changed {[name for name in after if after[name] != fleet.before.get(name)]}")
        if case.expected is None and isinstance(outcome, Exception):
            found.append(f"raised {outcome!r}")
        if case.expected is not None and type(outcome) is not case.expected:
            found.append(f"gave {outcome!r} and not {case.expected.__name__}")
        if isinstance(outcome, NotAllowedNow) and outcome.status != at.job.status:
            found.append(f"told state {outcome.status}")
    else:
        if isinstance(outcome, Exception):
            found.append(f"raised {outcome!r}")
        found += wrong_move(fleet.before, after, at, drawn, case.actor)
    return [f"{at.name} × {case.name}: {fault}" for fault in found]


def wrong_move(
    before: Tables, after: Tables, at: Situation, drawn: tuple[str, str], actor: Actor
) -> list[str]:
    event, target = drawn
    found = []
    jobs = zip(before["jobs"], after["jobs"], strict=True)
    changed = [(was, row) for was, row in jobs if was != row]
    if [column(Job, row, "id") for _, row in changed] != [at.job.id]:
        return [f"did not change this job alone: {changed}"]
    row = changed[0][1]
    if column(Job, row, "status") != NUMBERS[target]:
        found.append(f"went to {column(Job, row, 'status')}, drawn is {target}")
    lines = after["job_history"][len(before["job_history"]) :]
    if after["job_history"][: -len(lines) or None] != before["job_history"] or len(lines) != 1:
        return [*found, f"wrote history {lines}"]
    told = {
        name: column(JobHistory, lines[0], name) for name in ("job_id", "event", "status", "fence", "actor")
    }
    holds = {"job_id": at.job.id, "event": event, "actor": str(actor)}
    holds |= {name: column(Job, row, name) for name in ("status", "fence")}
    if told != holds:
        found.append(f"told history {told}, true is {holds}")
    return found


# The cases ----------------------------------------------------------------------------------------------


def of_robots(fleet: Fleet, at: Situation) -> Iterator[Case]:
    """job/update with each word, by the robot itself and by another, with each fence and without."""
    owned = at.job.robot_id == at.robot.id
    event_of = {8: "start", 4: "succeed", 5: "fail", 7: "report_stopped", 3: "report_aborted"}
    for status in Status:
        for fence in (None, *FENCES):
            number = None if fence is None else at.job.fence + FENCES[fence]
            told = Report(at.job.guid, status, fence=number)
            right = fence in (None, "right")
            said_again = status == at.job.status and right
            refusal = None if said_again else NotAllowedNow
            yield Case(
                f"report {status.name}, fence {fence}",
                event_of.get(status) if owned and right and not said_again else None,
                actor_of(at.robot),
                lambda tx, told=told: report.report(tx, at.robot, told),
                refusal if owned else NotFound,
            )
            yield Case(
                f"another robot reports {status.name}, fence {fence}",
                None,
                actor_of(fleet.stranger),
                lambda tx, told=told: report.report(tx, fleet.stranger, told),
                NotFound,
            )


def of_consuming(fleet: Fleet, at: Situation) -> Iterator[Case]:
    lost = "requeue" if fleet.on_lost == "requeue" and at.job.status == Status.IN_PROGRESS else "lose"
    taken = "consume" if not at.job.robot_id else None
    for status in (None, WORKING, READY):
        lose = lost if status == READY and at.job.status in LIVE else taken
        yield Case(
            f"consume with status {status}",
            lose,
            actor_of(at.robot),
            lambda tx, status=status: consume.consume(tx, at.robot, status, LEASE),
        )
        yield Case(
            f"another robot consumes with status {status}",
            None,
            actor_of(fleet.stranger),
            lambda tx, status=status: consume.consume(tx, fleet.stranger, status, LEASE),
        )


def of_people(fleet: Fleet, at: Situation) -> Iterator[Case]:
    waiting = at.job.status in (Status.CREATED, Status.PENDING)

    def verbs(tx: Transaction, verb: str) -> None:
        if verb == "stop":
            lifecycle.stop(tx, at.job.guid)
        else:
            lifecycle.abort(tx, at.job.guid, GRACE)

    for verb, under_way in (("stop", Status.STOPPING), ("abort", Status.ABORTING)):
        event = "cancel" if waiting else verb
        refusal = None if at.job.status == under_way else NotAllowedNow
        yield Case(f"{verb}", event, PERSON, lambda tx, v=verb: verbs(tx, v), refusal)
        yield Case(
            f"{verb} by another tenant", None, PERSON, lambda tx, v=verb: verbs(tx, v), NotFound, tenant_id=2
        )


def of_schedulers(fleet: Fleet, at: Situation) -> Iterator[Case]:
    lost = "requeue" if fleet.on_lost == "requeue" and at.job.status == Status.IN_PROGRESS else "lose"
    timed = "give_up" if at.job.status == Status.ABORTING else "time_out"
    for fence, more in FENCES.items():
        row = with_fence(at.job, at.job.fence + more)
        verbs: dict[str, Callable[[Transaction, Any], Any]] = {
            lost: lambda tx, row: recovery.lose(tx, row, "robot_lost", "The robot fell silent."),
            timed: lambda tx, row: recovery.time_out(tx, row, GRACE),
            "release": recovery.release,
        }
        for event, verb in verbs.items():
            for tenant in (1, 2):
                yield Case(
                    f"{event}, fence {fence}, tenant {tenant}",
                    event if fence == "right" and tenant == 1 else None,
                    SCHEDULER,
                    lambda tx, row=row, verb=verb: verb(tx, row),
                    tenant_id=tenant,
                )


def of_dispatching(fleet: Fleet, at: Situation) -> Iterator[Case]:
    """The claimed task of the Created job, also turned to every other job."""
    claimed = next(other.task for other in fleet.situations if other.task is not None)
    for fence, more in FENCES.items():
        task = replace(claimed, subject_id=at.job.id, fence=claimed.fence + more)
        if at.task is None and fence == "right":
            continue  # then its task is rightly finished, and the job left alone: a test of its own
        yield Case(
            f"dispatch, fence {fence}",
            "dispatch" if fence == "right" else None,
            SCHEDULER,
            lambda tx, task=task: dispatch.dispatch(tx, [task]),
        )


def of_moves(fleet: Fleet, at: Situation) -> Iterator[Case]:
    """Every event of the table at its root: the guarded UPDATE, with each fence and tenant."""
    for event in Event:
        for fence, more in FENCES.items():
            row = with_fence(at.job, at.job.fence + more)
            for tenant in (1, 2):
                yield Case(
                    f"move {event}, fence {fence}, tenant {tenant}",
                    event.value if fence == "right" and tenant == 1 else None,
                    SCHEDULER,
                    lambda tx, row=row, event=event: moves.move(tx, event, row, progress=99),
                    tenant_id=tenant,
                )


@pytest.mark.parametrize(
    ("fleet", "groups"),
    [
        ("fail", [of_robots, of_consuming, of_people, of_schedulers, of_dispatching, of_moves]),
        ("requeue", [of_consuming, of_schedulers]),
    ],
    indirect=["fleet"],
    ids=["fail", "requeue"],
)
@on("sqlite")
def test_exactly_the_drawn_moves_happen(fleet: Fleet, groups: list[Any]) -> None:
    cases = [(at, case) for at in fleet.situations for group in groups for case in group(fleet, at)]
    assert len(cases) > 200
    assert [fault for at, case in cases for fault in faults(fleet, case, at)] == []


@pytest.mark.parametrize("fleet", ["fail"], indirect=True)
@on("mariadb", "postgres")
def test_a_sample_of_it_on_the_servers(fleet: Fleet) -> None:
    groups = [of_robots, of_consuming, of_people, of_schedulers, of_dispatching]
    cases = [(at, case) for at in fleet.situations for group in groups for case in group(fleet, at)][::8]
    assert [fault for at, case in cases for fault in faults(fleet, case, at)] == []
