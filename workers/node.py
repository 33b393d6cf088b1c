"""The worker node as a Celery worker, so that Flower and `celery inspect` see it, and `shutdown` ends it.

    celery -A workers.node worker --pool threads --hostname NAME@%h --queues activities,node.NAME

The pool is of threads: sessions belong to the node's main process, which must outlive every task, and what an
activity does is waiting, or a process of its own, which can be killed as threads cannot.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any, NoReturn

from celery import Celery, bootsteps
from celery.platforms import EX_OK
from celery.worker import state

from workers import logs
from workers.server import Refused
from workers.settings import Settings, SettingsError
from workers.worker_node import WorkerNode

EXIT_CONFIGURATION = 78  # sysexits.h: EX_CONFIG


class NodeStep(bootsteps.StartStopStep):
    """Starts before the consumer and ends after it: work is taken only while the server knows the node."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._node: WorkerNode | None = None

    def start(self, worker: Any) -> None:
        if not worker.pool_cls.__module__.endswith(".thread"):
            _refuse(["start the worker node with --pool threads"])
        try:
            settings = Settings.load()
            self._node = WorkerNode(settings, worker.concurrency, lambda: _stop_consuming(worker))
            self._node.start(_wait)
        except SettingsError as error:
            _refuse(error.problems)
        except Refused as refused:
            _refuse([f"the server refuses this node: {refused}"])
        _running.append(self._node)
        end_in_order()

    def stop(self, worker: Any) -> None:
        node, self._node = self._node, None
        if node is not None:
            node.end()

    def terminate(self, worker: Any) -> None:
        self.stop(worker)


def _refuse(problems: list[str]) -> NoReturn:
    for problem in problems:
        # Celery has put its log in the place of sys.stderr.
        print(f"botswain worker: {problem}", file=sys.__stderr__, flush=True)
    os._exit(EXIT_CONFIGURATION)  # Celery would end with a traceback and status 0


def end_in_order() -> None:
    """SIGTERM and SIGINT ask for the same end, however often they come. Celery's own handlers break off what
    the node finishes at the second Ctrl-C, and call the first one a failure."""

    def ask(*_: object) -> None:
        state.should_stop = EX_OK  # type: ignore[assignment]

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)


def _wait(seconds: float) -> None:
    """Pause; raises Celery's own exception when a signal asks the worker to end."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        state.maybe_shutdown()
        time.sleep(min(left, 0.1))


def _stop_consuming(worker: Any) -> None:
    consumer = worker.consumer
    for queue in list(consumer.task_consumer.queues):
        consumer.call_soon(consumer.cancel_task_queue, queue.name)


_running: list[WorkerNode] = []

logs.configure()
app = Celery("workers")
app.config_from_object("celeryconfig")
app.conf.worker_pool = "threads"
app.steps["worker"].add(NodeStep)


@app.task(name="workers.perform", typing=False)
def perform(*message: Any, **more: Any) -> None:
    """A hint: (guid, fence) of a task that waits for this node. It names, and says nothing else."""
    if len(message) == 2 and not more and _running:
        _running[-1].performances.perform(*message)
