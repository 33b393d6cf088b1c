"""Opens sessions on this machine, watches them, ends them, and tells the server."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import structlog

from workers.activities.activity import ActivityError, Context
from workers.coordinator.backends import (
    CLOSED,
    FAILED,
    CannotOpenError,
    Ending,
    Handle,
    Session,
    SessionBackend,
)
from workers.coordinator.reports import Reports
from workers.server import Order, Refused, Server

log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.25
REMINDER = 0.6  # of the time to end: then it is asked a second time, and gives its script up
OPENING_SECONDS = 30.0


@dataclass
class Held:
    """`deadline` and `reminder` are set once it is to end; `ending` once it has, until the server knows."""

    handle: Handle
    why: str = ""
    reminder: float = 0.0
    deadline: float = 0.0
    ending: Ending | None = None


class Coordinator(threading.Thread):
    """One thread starts and ends all agents: a child is bound to the life of the thread that started it."""

    def __init__(self, backend: SessionBackend, server: Server, address: str, closing_seconds: float) -> None:
        super().__init__(name="coordinator", daemon=True)
        self._backend, self._server, self._address = backend, server, address
        self._closing_seconds = closing_seconds
        self._todo: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Condition()
        self._held: dict[str, Held] = {}
        self._ended = threading.Event()
        self.reports = Reports()

    # For other threads ----------------------------------------------------------------------------------

    def open_session(self, order: Order, context: Context) -> Any:
        """What an open_session task does: open it, and say where. Raises `ActivityError` if it cannot be."""
        session = self._read(order)
        opened: Future[Handle] = Future()
        self._todo.put(lambda: self._open(session, opened))
        try:
            handle = opened.result(OPENING_SECONDS)
        except CannotOpenError as error:
            raise ActivityError(str(error)) from None
        except TimeoutError:
            raise ActivityError("The coordinator of this node does not answer.") from None
        return {"session": session.id, "pid": handle.pid, "backend": self._backend.name}

    def held(self) -> list[str]:
        """The ids of the sessions that this node has, and of those whose end the server does not know yet."""
        with self._lock:
            return sorted(self._held)

    def close_sessions(self, ids: Iterable[str], why: str, seconds: float | None = None) -> None:
        """Let these end: softly at first, and hard after `seconds`. Said again, it changes nothing."""
        chosen = list(ids)
        patience = self._closing_seconds if seconds is None else seconds
        self._todo.put(lambda: self._close(chosen, why, patience))

    def wait_until_none(self, seconds: float) -> bool:
        with self._lock:
            return self._lock.wait_for(lambda: not self._held, seconds)

    def end(self, seconds: float) -> None:
        """Close all sessions within `seconds`, and stop."""
        began = time.monotonic()
        self.close_sessions(self.held(), "The node ended.", seconds * 0.8)
        self.wait_until_none(seconds)
        self.reports.end(max(0.5, seconds - (time.monotonic() - began)))
        self._ended.set()

    def _read(self, order: Order) -> Session:
        told = order.session or {}
        try:
            return Session(
                id=told["id"],
                robot=told["robot"],
                robot_id=told["robot_id"],
                account=told["account"],
                server=self._address,
                guid=order.session_guid or "",
            )
        except KeyError as error:
            raise ActivityError(
                f"The server did not say of the session what a node must know: {error}"
            ) from None

    # On the coordinator's own thread --------------------------------------------------------------------

    def run(self) -> None:
        self.reports.start()
        while not self._ended.is_set():
            try:
                self._step()
            except Exception:
                log.exception("coordinator_failed")
                self._ended.wait(LOOK_SECONDS)

    def _step(self) -> None:
        with contextlib.suppress(queue.Empty):
            self._todo.get(timeout=LOOK_SECONDS)()
        for held in list(self._held.values()):
            if held.ending is None:
                self._look(held)

    def _open(self, session: Session, opened: Future[Handle]) -> None:
        try:
            handle = self._backend.open(session)
        except Exception as error:
            reason = str(error) if isinstance(error, CannotOpenError) else f"{type(error).__name__}: {error}"
            log.warning("session_not_opened", session=session.id, robot=session.robot, reason=reason)
            ending = Ending(FAILED, reason)
            self.reports.say(lambda: self._tell_closed(session, ending), lambda refused: None)
            opened.set_exception(CannotOpenError(reason))
            return
        log.info("session_opened", session=session.id, robot=session.robot, pid=handle.pid)
        with self._lock:
            self._held[session.id] = Held(handle)
        self.reports.say(
            lambda: self._server.opened(session.id, socket.gethostname(), self._backend.name, handle.pid),
            lambda refused: self._unwanted(session, refused),
        )
        opened.set_result(handle)

    def _unwanted(self, session: Session, refused: Refused | None) -> None:
        """The session was closed before it was open: its agent cannot work."""
        if refused is not None:
            self.close_sessions([session.id], "The session was no longer wanted.")

    def _close(self, ids: Iterable[str], why: str, seconds: float) -> None:
        now = time.monotonic()
        for held in [self._held[session] for session in ids if session in self._held]:
            deadline = now + seconds
            if held.ending is not None or (held.deadline and held.deadline <= deadline):
                continue
            if not held.deadline:
                self._backend.close(held.handle, hard=False)
                held.why = why
            held.deadline, held.reminder = deadline, now + seconds * REMINDER

    def _look(self, held: Held) -> None:
        ending = self._backend.ending(held.handle)
        if ending is None:
            self._press(held)
            return
        if held.deadline:
            ending = Ending(CLOSED, held.why)
        held.ending = ending
        session = held.handle.session
        log.info("session_closed", session=session.id, robot=session.robot, reason=ending.reason)
        self.reports.say(lambda: self._tell_closed(session, ending), lambda refused: self._forget(session))

    def _press(self, held: Held) -> None:
        now = time.monotonic()
        if held.deadline and now >= held.deadline:
            self._backend.close(held.handle, hard=True)
        elif held.reminder and now >= held.reminder:
            held.reminder = 0.0
            self._backend.close(held.handle, hard=False)

    def _tell_closed(self, session: Session, ending: Ending) -> None:
        self._server.closed(session.id, ending.outcome, ending.reason[:500])

    def _forget(self, session: Session) -> None:
        with self._lock:
            self._held.pop(session.id, None)
            self._lock.notify_all()
