"""Robots on threads that work until they are told to stop, whatever happens to the cluster."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import httpx
from sqlalchemy import create_engine, select

from orchestrator.jobs.model import Job, JobHistory
from tests.acceptance.cluster import Cluster, Handed, Robot, eventually
from tests.acceptance.cluster.api import TERMINAL
from tests.acceptance.cluster.robot import ABORTED, ABORTING_ORDER, IN_PROGRESS, SUCCESS, WORKING
from tests.acceptance.drills.checker import Entry, Histories

PAUSE = 0.2  # seconds between two tries while the server is away


@dataclass(frozen=True)
class Run:
    """One run as its robot saw it: from the accepted In_Progress to the answer to its end."""

    job: str
    attempt: int
    robot: str
    begun: float
    ended: float
    status: int  # of the answer: 200, or 409 where the run had been given up meanwhile


@dataclass
class Fleet:
    """`with Fleet(robots) as fleet:`; afterwards `runs` and `complaints` (answers that no page allows)."""

    robots: list[Robot]
    run_seconds: float = 0.0
    runs: list[Run] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    refusals: int = 0  # answers of 503 with Retry-After
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._work, args=[robot]) for robot in self.robots]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(90)
        for robot in self.robots:
            robot.close()

    def until_runs(self, number: int, seconds: float = 90) -> None:
        """Back when so many runs have been completed."""
        eventually(lambda: len(self.runs) >= number, f"{number} runs are completed", seconds)

    def runs_at_once(self) -> list[str]:
        """Jobs that two robots ran at the same time, by the robots' own clocks; there must be none."""
        by_job = defaultdict(list)
        for run in self.runs:
            by_job[run.job].append(run)
        return [
            f"job {job}: {before} and {after}"
            for job, runs in by_job.items()
            for before, after in pairwise(sorted(runs, key=lambda run: run.begun))
            if after.begun < before.ended and before.status == 200
        ]

    def _work(self, robot: Robot) -> None:
        while not self._stopped.is_set():
            answer = self._ask(lambda: robot.beat(Wait=2), {200})
            if answer is None or answer.json()["HasNewJob"] == 0:
                continue
            handed = self._ask(robot.consume, {200})
            if handed is not None and handed.json()["ConsumeJobErrorCode"] == 0:
                self._run(robot, Handed.of(handed.json()))

    def _run(self, robot: Robot, handed: Handed) -> None:
        begun = self._ask(lambda: robot.update(handed.guid, IN_PROGRESS), {200, 404, 409})
        if begun is None or begun.status_code != 200:
            return
        moment, end = time.monotonic(), SUCCESS
        if self.run_seconds:
            beat = self._ask(lambda: robot.beat(WORKING, handed.guid), {200})
            if beat is not None and beat.json()["HeartbeatErrorCode"] == ABORTING_ORDER:
                end = ABORTED
            else:
                self._stopped.wait(self.run_seconds)
        answer = self._ask(lambda: robot.update(handed.guid, end, result='"done"'), {200, 404, 409})
        if answer is not None:
            attempt = int(handed.job["Attempt"])
            run = Run(handed.guid, attempt, robot.name, moment, time.monotonic(), answer.status_code)
            self.runs.append(run)

    def _ask(self, call: Callable[[], httpx.Response], wanted: set[int]) -> httpx.Response | None:
        """Again and again until the server answers; None when the fleet was stopped before."""
        while True:
            try:
                answer = call()
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code in wanted:
                return answer
            if answer is not None:
                self._judge(answer)
            if self._stopped.wait(PAUSE):
                return None

    def _judge(self, answer: httpx.Response) -> None:
        if answer.status_code == 503 and int(answer.headers.get("Retry-After", 0)) > 0:
            self.refusals += 1
        else:
            self.complaints.append(f"{answer.request.url.path}: {answer.status_code} {answer.text[:300]}")


def until_ended(cluster: Cluster, jobs: Iterable[str], seconds: float) -> None:
    """Back when no job of the cluster is waiting or running."""
    open_states = set(range(9)) - TERMINAL
    left = set(jobs)

    def ended() -> bool:
        return not any(cluster.api.get("/jobs", status=state, limit=1)["items"] for state in open_states)

    try:
        eventually(ended, "all jobs have ended", seconds, every=0.3)
    except AssertionError as late:
        states = [(guid, cluster.api.job(guid)["state"]) for guid in left]
        waiting = [(guid, state) for guid, state in states if state not in ("Success", "Failed")]
        told = [cluster.api.get(f"/jobs/{guid}/explain") for guid, _ in waiting[:3]]
        raise AssertionError(f"{late}\n{len(waiting)} of {len(states)}: {waiting[:5]}\n{told}") from None


def histories(cluster: Cluster, jobs: Iterable[str]) -> Histories:
    """What `GET /api/v1/jobs/{guid}/history` tells of these, in one look at the database: a thousand requests
    would take ten seconds of processor."""
    found = every_history(cluster)
    return {guid: found.get(guid, []) for guid in jobs}


def every_history(cluster: Cluster) -> dict[str, list[Entry]]:
    """`robot` is the robot's id."""
    rows = select(Job.guid, *JobHistory.__table__.columns, JobHistory.robot_id.label("robot"))
    found: dict[str, list[Entry]] = defaultdict(list)
    engine = create_engine(cluster.database_url)
    with engine.connect() as connection:
        query = rows.join(Job, Job.id == JobHistory.job_id).order_by(JobHistory.id)
        for row in connection.execute(query).mappings():
            found[row["guid"]].append({**row, "at": row["at"].isoformat()})
    engine.dispose()
    return found
