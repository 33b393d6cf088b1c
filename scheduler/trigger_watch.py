"""The watch over triggers of events: woken by what is told, and looking at everything once a second.

It runs beside the master's duties, on a thread of its own: one of these may take long, and a trigger is to
react within two seconds. What it does needs no fence. A firing is one in SQL, under its trigger's lock,
whoever looks; that the master does it only saves the others the looking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import structlog
from redis import RedisError

from orchestrator import errors
from orchestrator.resources.backlog import Count
from orchestrator.triggers import by_queue, noted
from orchestrator.triggers.by_queue import Rule
from orchestrator.triggers.wake_ups import FIRINGS, Listener, process_watch, publish_watched
from orchestrator.wiring import Parts
from scheduler.membership import Membership

log = structlog.get_logger(__name__)

EVERY_SECONDS = 1.0
BREATH_SECONDS = 0.05  # after each look: what is told meanwhile comes together


class TriggerWatch(threading.Thread):
    def __init__(
        self, parts: Parts, membership: Membership, is_master: Callable[[], bool], stop: threading.Event
    ) -> None:
        super().__init__(name="trigger-watch", daemon=True)
        self._parts = parts
        self._membership = membership
        self._is_master = is_master
        self._stop_asked = stop
        self._listener = Listener(parts.config.redis_url)
        self._rules: list[Rule] = []
        self._begun: dict[int, Count] = {}  # counts that need more than one look, by trigger
        self._all_at = float("-inf")

    def run(self) -> None:
        while not self._stop_asked.is_set():
            told = self._wait()
            try:
                if self._is_master():
                    self.look(told)
            except errors.Unavailable:
                log.warning("database_away", node=self._membership.me.name)
            except Exception:
                log.exception("trigger_watch_failed", node=self._membership.me.name)
            self._stop_asked.wait(BREATH_SECONDS)
        self._listener.close()

    def _wait(self) -> set[str]:
        patience = 0.0 if self._begun else max(self._all_at - time.monotonic(), 0.0)
        try:
            return self._listener.wait(patience)
        except (RedisError, OSError):
            self._stop_asked.wait(patience)
            return set()

    def look(self, told: set[str]) -> None:
        """Carry out what was noted and fire what is due: all of it each second, else what was told of."""
        is_time_for_all = time.monotonic() >= self._all_at
        if is_time_for_all:
            self._all_at = time.monotonic() + EVERY_SECONDS
            self._read_rules()
        if is_time_for_all or FIRINGS in told:
            self._carry_out()
        for rule in self._rules:
            if is_time_for_all or told & watched_by(rule) or rule.trigger.id in self._begun:
                self._each(rule.trigger.id, partial(self._look_at, rule))

    def _read_rules(self) -> None:
        self._rules = self._membership.run(by_queue.rules, read_only=True)
        known = {rule.trigger.id for rule in self._rules}
        self._begun = {number: count for number, count in self._begun.items() if number in known}
        try:
            publish_watched(self._parts.redis, set().union(*map(watched_by, self._rules)))
        except RedisError:
            log.warning("watched_not_told", node=self._membership.me.name)

    def _carry_out(self) -> None:
        for number in self._membership.run(noted.triggers, read_only=True):
            self._each(number, partial(self._carry_out_noted, number))

    def _carry_out_noted(self, number: int) -> None:
        done = self._membership.run(partial(noted.carry_out, trigger_id=number))
        if done:
            log.info("triggers", trigger=number, **done)

    def _look_at(self, rule: Rule) -> None:
        number = rule.trigger.id
        begun = self._begun.pop(number, None)
        look = self._membership.run(lambda tx: by_queue.look(tx, rule, begun), read_only=True)
        if look.wanted:
            made = self._membership.run(lambda tx: by_queue.fire(tx, number, look.count))
            if made:
                log.info("triggers", trigger=number, jobs=made)
        elif not look.count.is_whole:
            self._begun[number] = look.count

    def _each(self, number: int, work: Callable[[], None]) -> None:
        """One trigger that cannot be looked at does not keep the others from it."""
        try:
            work()
        except errors.Unavailable:
            raise
        except Exception:
            log.exception("trigger_not_looked_at", node=self._membership.me.name, trigger=number)


def watched_by(rule: Rule) -> set[str]:
    """Its queue, and the process whose jobs it creates: one of them that ends makes room for the next."""
    return {str(rule.trigger.watches), process_watch(rule.trigger.process_id)}
