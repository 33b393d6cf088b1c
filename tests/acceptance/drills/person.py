"""Somebody who goes on asking for jobs, whatever happens to the cluster."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.acceptance.cluster import Cluster, Problem, eventually


class Person:
    """Asks for jobs, two at a time, and repeats a request with its Idempotency-Key until it is answered."""

    def __init__(self, cluster: Cluster, process: str) -> None:
        self.jobs: list[str] = []
        self.failures = 0
        self.complaints: list[str] = []  # answers that no page allows
        self._cluster = cluster
        self._body = [{"process": process}] * 2
        self._stopped = threading.Event()

    @contextmanager
    def asking(self) -> Iterator["Person"]:
        thread = threading.Thread(target=self._ask_on)
        thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            thread.join(120)

    def until_asked(self, jobs: int, seconds: float = 90) -> None:
        """Back when so many jobs were accepted."""
        eventually(lambda: len(self.jobs) >= jobs, f"{jobs} jobs are accepted", seconds)

    def _ask_on(self) -> None:
        number = 0
        while not self._stopped.wait(0.1):
            number += 1
            while not self._ask(f"request-{number}"):
                time.sleep(0.05)

    def _ask(self, key: str) -> bool:
        headers = {"Idempotency-Key": key}
        try:
            answer = self._cluster.api.call("POST", "/jobs", json=self._body, headers=headers)
        except httpx.TransportError:
            self.failures += 1
            return False
        except Problem as problem:
            self.failures += 1
            if problem.status != 503 or int(problem.response.headers.get("Retry-After", 0)) < 1:
                self.complaints.append(str(problem))
            return False
        self.jobs += [job["guid"] for job in answer["items"]]
        return True
