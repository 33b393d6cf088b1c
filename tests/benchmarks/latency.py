"""From the creation of a job to the moment when a robot that waits in its long poll has consumed it.

Beside it what plain Celery takes, on the same Redis, from before a task is sent until it runs.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial

from tests.benchmarks import wire
from tests.benchmarks.celery_noop import CeleryWorker
from tests.benchmarks.cluster import ADMIN, JSON_BODY, PROCESS, Cluster, pause_between_measures
from tests.benchmarks.figures import Figure, Target, in_turn, percentile
from tests.benchmarks.options import Options
from tests.benchmarks.robots import Robot
from tests.benchmarks.servers import Servers

GOAL_MS = 10.0
SETTLE_SECONDS = 0.02  # until the robot is in its long poll again


def run(servers: Servers, options: Options) -> Iterator[Figure]:
    for name in ("sqlite", "mariadb"):
        with (
            servers.redis() as redis,
            servers.database(name) as database,
            Cluster(database, f"{redis}/0", servers.folder) as cluster,
            CeleryWorker(f"{redis}/1", servers.folder) as celery,
        ):
            yield from _measure(name, cluster, celery, options)


def _measure(name: str, cluster: Cluster, celery: CeleryWorker, options: Options) -> Iterator[Figure]:
    from_sending, from_answer = [], []  # each a list of samples a round
    with Waiting(cluster) as waiting:

        def ours() -> float:
            pause_between_measures()
            samples = [waiting.sample() for _ in range(options.samples)]
            from_sending.append([sample[0] for sample in samples])
            from_answer.append([sample[1] for sample in samples])
            return percentile(from_sending[-1], 50)

        def theirs(percents: list[float]) -> float:
            pause_between_measures()
            samples = [celery.milliseconds_to_run() for _ in range(options.samples)]
            percents.append(percentile(samples, 99))
            return percentile(samples, 50)

        slow: list[float] = []
        for _ in range(5):
            waiting.sample(), celery.milliseconds_to_run()
        found = in_turn({"ours": ours, "celery": partial(theirs, slow)}, options.rounds)
    base = "Celery, sent to running, p50"
    more = {"samples_a_round": options.samples, "base_p99": round(statistics.median(slow), 3)}
    for start, rounds in (("POST sent", from_sending), ("POST answered", from_answer)):
        for percent in (50, 99):
            values = [percentile(samples, percent) for samples in rounds]
            goal = Target(value_below=GOAL_MS) if percent == 50 else None
            what = f"{start} to consumed on {name}, p{percent}"
            yield Figure("latency", what, "ms", values, base, found["celery"], goal, more)


class Waiting:
    """One robot in its long poll on a thread, and one that orders jobs."""

    def __init__(self, cluster: Cluster) -> None:
        self._creator, self._line = wire.Line(cluster.port), wire.Line(cluster.port)
        self._robot = Robot(cluster.new_robots(1)[0], wait_seconds=55)
        order = json.dumps({"process": PROCESS, "arguments": {"number": 1}}).encode()
        self._order = wire.request("POST", "/api/v1/jobs", ADMIN, order, JSON_BODY)
        self._consumed_at = 0
        self._consumed, self._go_on = threading.Event(), threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Waiting:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._go_on.set()
        self._line.close()
        self._creator.close()

    def sample(self) -> tuple[float, float]:
        """Milliseconds from the order's sending, and from its answer, to the job in the robot's hand."""
        self._consumed.clear()
        self._go_on.set()
        time.sleep(SETTLE_SECONDS)
        sent = time.monotonic_ns()
        answer = self._creator.ask(self._order)
        answered = time.monotonic_ns()
        if answer.status != 201:
            raise RuntimeError(f"create was answered {answer.status}: {answer.body[:300]!r}")
        if not self._consumed.wait(60):
            raise RuntimeError("no robot had the job within a minute")
        return (self._consumed_at - sent) / 1e6, (self._consumed_at - answered) / 1e6

    def _live(self) -> None:
        with contextlib.suppress(OSError):  # the end closes the connection under its long poll
            while not self._ending:
                self._go_on.wait()
                self._go_on.clear()
                self._one_job()

    def _one_job(self) -> None:
        guid = None
        while guid is None:
            while not self._line.ask(self._robot.heartbeat).json()["HasNewJob"]:
                pass
            consumed = self._line.ask(self._robot.consume)
            self._consumed_at = time.monotonic_ns()
            guid = (json.loads(consumed.json()["Job"]) or {}).get("GUID")
        for status in (8, 4):
            self._line.ask(self._robot.update(guid, status))
        self._consumed.set()
