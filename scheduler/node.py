"""The scheduler node: a Celery worker, so that Flower and `celery inspect` see it, whose bootstep runs the
claim loop, the membership and the master on threads of their own.

    celery -A scheduler.node worker --pool solo --hostname scheduler-1@%h --queues node.scheduler-1
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.platforms import EX_OK
from celery.worker import state

from orchestrator import errors, logs
from orchestrator.config import Config
from orchestrator.tasks import recovery
from orchestrator.tasks.hints import node_queue
from orchestrator.tasks.model import PARTITIONS
from orchestrator.wiring import Parts, assemble, open_engine
from scheduler.arrival import arrive
from scheduler.claim_loop import ClaimLoop
from scheduler.handing_over import HandingOver
from scheduler.lineup import Lineup
from scheduler.master import Master
from scheduler.membership import Membership
from scheduler.surroundings import Lookout
from scheduler.sweep import Sweep
from scheduler.trigger_watch import TriggerWatch

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 8.0  # for what is at work, which is a transaction; the rest goes back to its place
EXIT_REFUSED = 78  # sysexits.h: EX_CONFIG. Whoever supervises does not start it again
OWN_THREADS = 5  # the pulse, the master, the trigger watch, the lookout, and the one that ends them


class SchedulerNode:
    """The threads of one scheduler, started and ended together."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.lineup = Lineup()
        self.membership = Membership(parts, self.lineup.busy)
        self.stop_asked = threading.Event()
        self._handing_over = HandingOver(self.membership, parts.hints)
        self._loops = [
            ClaimLoop(number, parts, self.membership, self.lineup, self._handing_over, self.stop_asked)
            for number in range(parts.config.scheduler_threads)
        ]
        self._master = Master(parts, self.membership, self.stop_asked)
        self._sweep = Sweep(parts, self.membership, self.lineup, self._handing_over, self.stop_asked)
        watch = TriggerWatch(parts, self.membership, lambda: self._master.is_in_term, self.stop_asked)
        lookout = Lookout(parts, self.membership, self.stop_asked)
        self.threads: list[threading.Thread] = [self._sweep, self._master, watch, lookout, *self._loops]

    @classmethod
    def open(cls, config: Config) -> SchedulerNode:
        """With a connection for each of its threads: none that is in a burst keeps the membership from being
        renewed, and the scheduler from being trusted."""
        return cls(assemble(config, open_engine(config, config.scheduler_threads + OWN_THREADS)))

    def start(self) -> None:
        for thread in self.threads:
            thread.start()
        log.info("scheduler_started", node=self.membership.me.name)

    def drain(self) -> None:
        """Stop claiming, finish what is at work, give the rest back, and leave."""
        self.membership.is_draining = True
        self.stop_asked.set()
        self.lineup.wake()
        until = time.monotonic() + DRAIN_SECONDS
        for thread in self.threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(timeout=max(0.0, until - time.monotonic()))
        with contextlib.suppress(errors.Unavailable):  # then their leases end, and the sweep finds them
            self._handing_over.give_back()
            self.membership.run(lambda tx: recovery.give_back(tx, self.membership.me.owner))
        self.membership.leave()
        log.info("scheduler_ended", node=self.membership.me.name)


class SchedulerStep(bootsteps.StartStopStep):
    """Runs the node beside Celery's consumer, on threads that a broker's outage does not stop."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.node: SchedulerNode | None = None

    def create(self, worker: Any) -> None:
        """Join the cluster, before Celery's consumer is made: it is known by the number that is leased."""
        try:
            self.node = SchedulerNode.open(Config.load())
            arrive(self.node.parts, self.node.membership)
        except errors.BotswainError as error:
            print(f"botswain scheduler: {error.detail}", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(EXIT_REFUSED)  # Celery would retry, or end with a traceback and status 0
        name = self.node.membership.me.name
        worker.hostname = f"{name}@{worker.hostname.partition('@')[2]}"
        worker.app.amqp.queues.select([node_queue(name)])

    def start(self, worker: Any) -> None:
        # Celery's thread, which has just received a hint, would keep the claim loop waiting for 5 ms.
        sys.setswitchinterval(0.0002)
        if self.node is not None:
            self.node.start()
            _running.append(self.node)
        end_in_order()

    def stop(self, worker: Any) -> None:
        if self.node is not None:
            self.node.drain()
            self.node = None

    def terminate(self, worker: Any) -> None:
        self.stop(worker)


def end_in_order() -> None:
    """SIGTERM and SIGINT ask for the same end, however often they come. Celery's own handlers break the
    drain off at the second Ctrl-C, and call the first one a failure."""

    def ask(*_: object) -> None:
        state.should_stop = EX_OK  # type: ignore[assignment]

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)


_running: list[SchedulerNode] = []

logs.configure()
app = Celery("scheduler")
app.config_from_object("celeryconfig")
app.steps["worker"].add(SchedulerStep)


@app.task(name="scheduler.wake")
def wake(partitions: Sequence[int]) -> None:
    """A hint: there may be work in these partitions. Anything else in the message is ignored."""
    if not isinstance(partitions, list):
        return
    known = [p for p in partitions if type(p) is int and 0 <= p < PARTITIONS]
    for node in _running:
        node.lineup.hint(known)
