"""The master: the one scheduler that does the duties, for as long as its term lasts."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial

import structlog

from orchestrator import errors
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.wiring import Parts
from scheduler.candidacy import Candidacy
from scheduler.duty_book import DutyBook
from scheduler.maintenance import DUTIES, Duty
from scheduler.membership import Membership
from scheduler.term import Term, TermOver

log = structlog.get_logger(__name__)


class Master(threading.Thread):
    def __init__(self, parts: Parts, membership: Membership, stop: threading.Event) -> None:
        super().__init__(name="master", daemon=True)
        self._parts = parts
        self._membership = membership
        self._stop_asked = stop
        self._term: Term | None = None
        self._book = DutyBook()
        self._candidacy = Candidacy(membership, parts.config.scheduler_master)
        self._listening_until = self._time_for_two_beats()

    def _time_for_two_beats(self) -> float:
        """Until when robots may not be called silent: the cluster may have been down, and they only now
        find that it answers again. Runs that lived through an outage must not be ended by its end."""
        config = self._parts.config
        return time.monotonic() + min(2 * config.heartbeat_seconds, config.run_lease_seconds)

    def run(self) -> None:
        while not self._stop_asked.is_set():
            try:
                self.tick()
            except errors.Unavailable:
                self._step_down()
                self._listening_until = self._time_for_two_beats()
            except Exception:
                log.exception("master_failed", node=self._membership.me.name)
                self._step_down()
            self._stop_asked.wait(0.5)
        self._leave()

    def tick(self) -> None:
        """Hold the term if it can be had, and do what is due."""
        if self._is_ending():
            self._leave()
            return
        try:
            for duty in DUTIES:
                if (term := self._hold()) is None:
                    return
                self._do_if_due(duty, term)
                self._book.write(term)
        except TermOver:
            self._leave()

    @property
    def is_in_term(self) -> bool:
        """Whether this scheduler is master, as far as can be known without asking."""
        return self._term is not None and not self._is_ending()

    def _is_ending(self) -> bool:
        """Whether this scheduler may not be master, or no longer."""
        return self._stop_asked.is_set() or not self._candidacy.stands()

    def _hold(self) -> Term | None:
        if self._term is not None and not self._term.wants_renewal:
            return self._term
        began = time.monotonic()
        owner, lease = self._membership.me.owner, self._membership.lease
        epoch = self._membership.run(lambda tx: cluster.acquire_lease(tx, MASTER, owner, lease))
        if epoch is None:
            self._step_down()
            return None
        if self._term is None or self._term.epoch != epoch:
            log.info("master", node=self._membership.me.name, term=epoch)
            self._term = Term(self._membership, self._parts, epoch, self._is_ending)
        self._term.renewed = began
        return self._term

    def _do_if_due(self, duty: Duty, term: Term) -> None:
        if duty.judges_silence and time.monotonic() < self._listening_until:
            return
        if self._book.is_due(duty):
            self._do(duty, term)

    def _do(self, duty: Duty, term: Term) -> None:
        """One that fails does not keep the others from being done: it is tried again, later each time."""
        self._book.begin(duty)
        term.report = partial(self._book.progress, duty, term)
        try:
            done = duty.run(term)
        except TermOver:
            raise
        except Exception as error:
            self._tell(duty, error, self._book.fail(duty, error))
        else:
            self._book.end(duty, done)
            if done:
                log.info("duty", duty=duty.name, **done)

    def _tell(self, duty: Duty, error: Exception, failures: int) -> None:
        """A database that does not answer this duty may answer the others: whether it is away shows where the
        failure is written down, or the term renewed."""
        if isinstance(error, errors.Unavailable):
            log.warning("duty_unanswered", duty=duty.name, failures=failures)
        else:  # with its traceback once: what fails now fails again in a minute
            log.error("duty_failed", duty=duty.name, failures=failures, exc_info=failures == 1)

    def _step_down(self) -> None:
        """On any doubt: what the database thinks cannot be known from here."""
        self._term = None

    def _leave(self) -> None:
        if self._term is None:
            return
        owner = self._membership.me.owner
        self._step_down()
        with contextlib.suppress(errors.Unavailable):
            self._membership.run(lambda tx: cluster.give_up_lease(tx, MASTER, owner))
