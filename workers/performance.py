"""One task on this node, from the message that names it to the answer to its report."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from workers.activities.activity import ActivityError, Context, Interrupted
from workers.activities.registry import Registry
from workers.backoff import Backoff
from workers.lease import Lease
from workers.server import Away, Order, Refused, Server
from workers.settings import Settings

log = structlog.get_logger(__name__)

RESULT_LIMIT = 1024 * 1024  # bytes of JSON
ERROR_LIMIT = 10_000
BEGIN_SECONDS = 15.0  # then the message is old news: the scheduler sends another
ACTIVITY, OPEN_SESSION = "activity", "open_session"

OpenSession = Callable[[Order, Context], Any]


@dataclass(frozen=True)
class Outcome:
    result: Any = None
    error: str | None = None


class Performances:
    """Everything that this node does at the moment. `open_session` is the coordinator's."""

    def __init__(
        self, settings: Settings, server: Server, registry: Registry, open_session: OpenSession
    ) -> None:
        self._settings, self._server, self._registry = settings, server, registry
        self._open_session = open_session
        self._changed = threading.Condition()
        self._running: dict[str, Context] = {}
        self._closed = False
        self._leaving = threading.Event()

    @property
    def running(self) -> int:
        with self._changed:
            return len(self._running)

    def close(self) -> None:
        """Begin nothing more; messages that come are dropped, and the scheduler names their tasks again."""
        with self._changed:
            self._closed = True

    def wait_until_idle(self, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def interrupt(self, why: str) -> None:
        """End what is running, and try no longer than it takes to report it."""
        self._leaving.set()
        with self._changed:
            running = list(self._running.values())
        for context in running:
            context.interrupt(why)

    def perform(self, guid: Any, fence: Any) -> None:
        """Do the task that a message names, if the server says that it is this node's to do.

        Whoever can write to the broker can send a message: it names, and says nothing else. One that is
        forged, late or there twice is dropped without a trace.
        """
        task = _read(guid, fence)
        if task is None:
            log.info("message_dropped", reason="it names no task")
            return
        context = self._enter(task[0])
        if context is None:
            return
        try:
            order = self._begin(*task)
            if order is not None:
                self._do(order, context)
        finally:
            with self._changed:
                del self._running[context.task]
                self._changed.notify_all()

    def _enter(self, guid: str) -> Context | None:
        with self._changed:
            if self._closed or guid in self._running:
                return None
            context = self._running[guid] = Context(self._settings, guid)
            return context

    def _begin(self, guid: str, fence: int) -> Order | None:
        key, backoff, until = str(uuid.uuid4()), Backoff(), time.monotonic() + BEGIN_SECONDS
        while True:
            try:
                return self._server.start(guid, fence, key)
            except Refused as refused:
                level = log.error if refused.status in (401, 403) else log.debug
                level("message_dropped", task=guid, fence=fence, reason=str(refused)[:200])
                return None
            except Away as away:
                if time.monotonic() >= until or self._leaving.wait(backoff.next(away.retry_after)):
                    log.warning("message_dropped", task=guid, fence=fence, reason=str(away)[:200])
                    return None

    def _do(self, order: Order, context: Context) -> None:
        log.info("task_begun", task=order.guid, kind=order.kind, activity=order.activity)
        began = time.monotonic()
        with Lease(self._server, order, context.interrupt) as lease:
            outcome = self._outcome(order, context)
            if lease.is_lost:
                log.warning("task_abandoned", task=order.guid, reason=context.why)
                return
            lease.work_is_done()
            self._report(order, outcome, lease)
        how = "failed" if outcome.error else "succeeded"
        log.info("task_ended", task=order.guid, how=how, seconds=round(time.monotonic() - began, 3))

    def _outcome(self, order: Order, context: Context) -> Outcome:
        """Whatever an activity does, it ends as an outcome."""
        try:
            return Outcome(_checked(self._call(order, context)))
        except Interrupted as interrupted:
            return Outcome(error=f"It was interrupted: {interrupted}"[:ERROR_LIMIT])
        except ActivityError as failed:
            return Outcome(error=(str(failed) or "It failed and did not say why.")[:ERROR_LIMIT])
        except (
            BaseException
        ) as mistake:  # an activity is somebody's code, and SystemExit would end the thread
            log.exception("activity_failed", task=order.guid, activity=order.activity)
            return Outcome(error=f"{type(mistake).__name__}: {mistake}"[:ERROR_LIMIT])

    def _call(self, order: Order, context: Context) -> Any:
        if order.kind == OPEN_SESSION:
            return self._open_session(order, context)
        if order.kind != ACTIVITY:
            raise ActivityError(f"This node does not know tasks of the kind {order.kind!r}: is it too old?")
        return self._registry.find(order.activity)(order.arguments, context)

    def _report(self, order: Order, outcome: Outcome, lease: Lease) -> None:
        """Until the server has answered: it may be away for long."""
        backoff, told = Backoff(), outcome
        while not lease.is_lost:
            try:
                self._server.finish(order.guid, order.fence, result=told.result, error=told.error)
                return
            except Refused as refused:
                if told.error is None and refused.status in (400, 413, 422):
                    told = Outcome(error=f"The server did not take the result: {refused}"[:ERROR_LIMIT])
                    continue
                log.warning("report_refused", task=order.guid, reason=str(refused)[:200])
                return
            except Away as away:
                log.warning("report_waits", task=order.guid, error=str(away)[:200])
                if self._leaving.wait(backoff.next(away.retry_after)):
                    return


def _read(guid: Any, fence: Any) -> tuple[str, int] | None:
    if not isinstance(guid, str) or type(fence) is not int or not 0 <= fence < 2**53:
        return None
    try:
        return (guid, fence) if str(uuid.UUID(guid)) == guid else None
    except ValueError:
        return None


def _checked(result: Any) -> Any:
    try:
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ActivityError(f"The activity's result is not JSON: {error}") from None
    if size > RESULT_LIMIT:
        raise ActivityError(f"The activity's result is larger than {RESULT_LIMIT} bytes.")
    return result
