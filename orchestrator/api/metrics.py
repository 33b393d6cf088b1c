"""Metrics for Prometheus: requests as this process counts them, and the gauges of the whole installation.

With several API processes, PROMETHEUS_MULTIPROC_DIR names the folder through which they add up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from orchestrator.errors import Unavailable
from orchestrator.insights.duties import DutyView
from orchestrator.insights.gauges import Gauges, gauges
from orchestrator.transaction import SYSTEM_TENANT
from orchestrator.wiring import Parts

FRESH_SECONDS = 5.0
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    def __init__(self, parts: Parts) -> None:
        self._registry = CollectorRegistry()
        self._installation = Installation(parts)
        self._registry.register(self._installation)
        names = ("method", "route", "status")
        self._requests = Counter("botswain_requests", "Requests answered", names, registry=self._registry)
        self._refusals = Counter(
            "botswain_refusals", "Requests refused, by error code", ("code",), registry=self._registry
        )
        self._seconds = Histogram(
            "botswain_request_seconds",
            "Time until the answer, waiting for a job included",
            ("method", "route"),
            buckets=SECONDS,
            registry=self._registry,
        )

    def watch(self, app: Flask) -> None:
        """Count every request that reaches Flask."""

        @app.before_request
        def begin() -> None:
            g.begun = time.perf_counter()

        @app.after_request
        def end(response: Response) -> Response:
            route = (request.endpoint or "none").rpartition(".")[2]
            # A method is any word that a caller likes, and each new one would be a series for ever.
            method = request.method if request.method in METHODS else "other"
            self._requests.labels(method, route, response.status_code).inc()
            if "problem_code" in g:
                self._refusals.labels(g.problem_code).inc()
            if "begun" in g:
                self._seconds.labels(method, route).observe(time.perf_counter() - g.begun)
            return response

    def text(self) -> bytes:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        together.register(self._installation)
        return generate_latest(together)


class Installation(Collector):
    """What SQL says, at most each few seconds, however often it is asked."""

    def __init__(self, parts: Parts) -> None:
        self._transactions = parts.transactions
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._gauges: Gauges | None = None

    def describe(self) -> list[Metric]:
        return []  # else registering would already read the database

    def collect(self) -> Iterator[Metric]:
        now = self._read()
        yield GaugeMetricFamily("botswain_database_up", "Whether the database answers", now is not None)
        if now is None:
            return
        yield _family("botswain_jobs", "Jobs by state", "state", now.jobs)
        yield GaugeMetricFamily("botswain_jobs_stalled", "Runs that make no progress", now.stalled)
        yield _family("botswain_tasks", "Tasks by state", "state", now.tasks)
        yield _family("botswain_robots", "Robots by their word for themselves", "state", now.robots)
        yield GaugeMetricFamily("botswain_robots_doubled", "Robots whose GUID two programs use", now.doubled)
        yield _family("botswain_nodes_up", "Nodes that live, by kind", "kind", now.nodes)
        yield GaugeMetricFamily("botswain_backlog", "Tasks that wait in line", now.tasks["queued"])
        yield GaugeMetricFamily(
            "botswain_oldest_waiting_seconds", "Age of the oldest task in line", now.oldest_waiting_seconds
        )

        yield GaugeMetricFamily(
            "botswain_permits_held", "Permits of semaphores in the hands of runs", now.permits_held
        )
        yield GaugeMetricFamily(
            "botswain_breakers_open", "Processes that a breaker keeps from starting", now.breakers_open
        )
        yield GaugeMetricFamily("botswain_held_lines", "Lines in which limits hold jobs back", now.held_lines)
        yield _family("botswain_notices", "What is wrong with the cluster, by code", "code", now.notices)
        yield _stale_writes(now.stale_writes)
        yield from _of_duties(now.duties)

    def _read(self) -> Gauges | None:
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                try:
                    self._gauges = self._transactions.run(gauges, tenant_id=SYSTEM_TENANT, read_only=True)
                except Unavailable:
                    self._gauges = None
                self._read_at = time.monotonic()
            return self._gauges


def _stale_writes(by_node: dict[str, int]) -> Metric:
    said = "Writes of schedulers that were refused, as their right to them had passed to another"
    metric = CounterMetricFamily("botswain_stale_writes_refused", said, labels=["node"])
    for node, count in by_node.items():
        metric.add_metric([node], count)
    return metric


def _of_duties(done: list[DutyView]) -> Iterator[Metric]:
    started = {duty.name: duty.started_at.timestamp() for duty in done}
    seconds = {duty.name: duty.seconds for duty in done if duty.seconds is not None}
    failures = {duty.name: duty.failures for duty in done}
    yield _family("botswain_duty_started_timestamp_seconds", "When a duty was last begun", "duty", started)
    yield _family("botswain_duty_seconds", "How long a duty took the last time", "duty", seconds)
    yield _family("botswain_duty_failures", "How often a duty failed in a row by now", "duty", failures)


def _family(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
