"""Jobs for a drill, asked for as one does who must not lose any: with a key, until they are accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import httpx

from tests.acceptance.cluster import Cluster, Problem

GROUP = "drill"  # of robots that never come: what a scheduler does with a job is then all that happens to it


class Load:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.process = cluster.api.publish("invoices")
        cluster.new_robot(group=GROUP).close()
        self.accepted: list[str] = []  # GUIDs of jobs that were answered with 201
        self.refusals = 0

    def ask(self, jobs: int) -> list[str]:
        """The GUIDs of so many jobs, accepted in one request, whatever it takes."""
        key = token_hex(16)
        body = [{"process": self.process, "group": GROUP}] * jobs
        while True:
            with _patience() as failed:
                answer = self._cluster.api.call("POST", "/jobs", json=body, headers={"Idempotency-Key": key})
                guids = [str(job["guid"]) for job in answer["items"]]
                self.accepted += guids
                return guids
            if failed:
                self.refusals += 1
                time.sleep(0.1)

    @contextmanager
    def asking(self, jobs: int, every: float) -> Iterator[None]:
        """So many jobs each `every` seconds, for as long as the block takes."""
        stopped = threading.Event()

        def go_on() -> None:
            while not stopped.wait(every):
                self.ask(jobs)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join(120)


@contextmanager
def _patience() -> Iterator[list[Exception]]:
    """What a server that is away does to a request is taken; anything else is a mistake."""
    failed: list[Exception] = []
    try:
        yield failed
    except httpx.TransportError as error:
        failed.append(error)
    except Problem as problem:
        if problem.status != 503:
            raise
        failed.append(problem)
