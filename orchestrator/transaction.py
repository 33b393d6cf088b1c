"""One unit of work: connection, tenant, actor, time, and what to tell others once it has committed.

Verbs take a `Transaction` and never commit; the edge (a request, a scheduler's step) owns it. What must
reach Redis or Celery is *announced* as a fact and delivered after the commit: Redis is told of what is
true, never of what may yet be rolled back, and losing the delivery loses only time. What must not be lost
is written by who *accompanies* a fact, in the transaction itself.
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy import Engine, exc
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from orchestrator import failpoints
from orchestrator.database import DatabaseClock, has_timed_out, is_transient, is_unavailable
from orchestrator.errors import Unavailable

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

ATTEMPTS = 5
SYSTEM_TENANT = 0


@dataclass(frozen=True)
class Actor:
    """Who does it: written into history and audit."""

    kind: Literal["person", "robot", "node", "scheduler", "trigger", "system"]
    name: str
    id: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


SYSTEM = Actor("system", "botswain")


@dataclass(frozen=True)
class Fact:
    """Something that became true with a commit. Subclasses live beside the verbs that announce them."""


@dataclass
class Transaction:
    connection: Connection
    tenant_id: int
    actor: Actor
    now: datetime
    step: str = ""  # what a test calls this commit: one of `failpoints.STEPS`
    facts: list[Fact] = field(default_factory=list)
    effects: list[Callable[[], None]] = field(default_factory=list)

    def announce(self, fact: Fact) -> None:
        """Deliver `fact` to its subscribers after the commit, and not at all if there is none."""
        self.facts.append(fact)

    def after_commit(self, effect: Callable[[], None]) -> None:
        """Call `effect` once the commit has taken place: for what this process itself remembers."""
        self.effects.append(effect)

    def attempt(self, part: Callable[[], Counter[str]], **about: object) -> Counter[str]:
        """Do a part of a sweep over many rows, and return what it counted. What it raises is its own: it is
        undone alone, logged with what it was `about`, and counted as `not_done`. But what the database says
        of the whole (a deadlock, a lost connection) is raised."""
        facts, effects = len(self.facts), len(self.effects)
        savepoint = self.connection.begin_nested()
        try:
            counts = part()
        except Exception as error:
            if isinstance(error, Unavailable) or is_unavailable(error):
                raise  # the database has undone the whole, or will: there is nothing to go back to
            savepoint.rollback()
            del self.facts[facts:], self.effects[effects:]
            log.exception("part_not_done", tenant=self.tenant_id, **about)
            return Counter(not_done=1)
        savepoint.commit()
        return counts

    @cached_property
    def session(self) -> Session:
        """The same transaction for reads that want whole objects."""
        return Session(bind=self.connection, autoflush=False)

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters)


class Transactions:
    """Runs work in transactions on one engine, again where the database asks for it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = DatabaseClock(engine)
        self._subscribers: dict[type[Fact], list[Callable[[list[Any]], None]]] = defaultdict(list)
        self._companions: dict[type[Fact], list[Callable[[Transaction, list[Any]], None]]] = defaultdict(list)

    def subscribe(self, kind: type[Fact], deliver: Callable[[list[Any]], None]) -> None:
        """Call `deliver` with all facts of this kind of a transaction, once, after its commit."""
        self._subscribers[kind].append(deliver)

    def accompany(self, kind: type[Fact], write: Callable[[Transaction, list[Any]], None]) -> None:
        """Call `write` with all facts of this kind of a transaction, once, last before its commit: for a noun
        that keeps account of what happens in one below it. What it raises undoes the whole."""
        self._companions[kind].append(write)

    def run(
        self,
        work: Callable[[Transaction], Result],
        *,
        tenant_id: int,
        actor: Actor = SYSTEM,
        read_only: bool = False,
    ) -> Result:
        """Run `work`, commit, deliver its facts, and return what it returned.

        Deadlocks and the like roll back whole, so `work` runs again, up to 5 times: it must have no effect
        but through the transaction. A connection lost *during* the commit is not retried, because nobody
        knows whether it took place; `Unavailable` is raised, and an Idempotency-Key makes a retry safe. Where
        no answer came in time, `work` runs only once more: it may be too slow for any connection.
        """
        for attempt in range(1, ATTEMPTS + 1):
            progress = _Progress()
            try:
                result, tx = self._attempt(work, tenant_id, actor, read_only, progress)
            except (exc.DBAPIError, exc.TimeoutError) as error:
                if not is_unavailable(error):
                    raise
                transient = isinstance(error, exc.DBAPIError) and is_transient(error)
                lost_early = isinstance(error, exc.DBAPIError) and (
                    error.connection_invalidated and progress.began and not progress.committing
                )
                is_last = attempt == ATTEMPTS or (attempt > 1 and has_timed_out(error))
                if is_last or not (transient or lost_early):
                    log.warning("database_unavailable", error=str(error.__cause__ or error)[:200])
                    raise Unavailable("The database does not answer; try again shortly.") from error
                time.sleep(random.uniform(0.5, 1.5) * 0.01 * 2**attempt)  # noqa: S311  (jitter)
            else:
                for effect in tx.effects:
                    effect()
                self._deliver(tx.facts)
                return result
        raise AssertionError("unreachable")

    def _attempt(
        self,
        work: Callable[[Transaction], Result],
        tenant_id: int,
        actor: Actor,
        read_only: bool,
        progress: _Progress,
    ) -> tuple[Result, Transaction]:
        with self.engine.connect() as connection:
            if read_only:
                connection = connection.execution_options(read_only=True)
            with connection.begin() as begun:
                progress.began = True
                tx = Transaction(connection, tenant_id, actor, self.clock.now(connection))
                result = work(tx)
                self._write_with(tx)
                progress.committing = True
                failpoints.reached("before_commit", tx.step)
                begun.commit()
                failpoints.reached("after_commit", tx.step)
        return result, tx

    def _write_with(self, tx: Transaction) -> None:
        if self._companions and tx.facts:
            for kind, told in _by_kind(tx.facts).items():
                for write in self._companions.get(kind, ()):
                    write(tx, told)

    def _deliver(self, facts: list[Fact]) -> None:
        for kind, told in _by_kind(facts).items():
            for deliver in self._subscribers[kind]:
                try:
                    deliver(told)
                except Exception as error:
                    # The commit stands; the sweeps make good what was not told.
                    log.warning("fact_not_delivered", fact=kind.__name__, error=str(error)[:200])


def _by_kind(facts: list[Fact]) -> dict[type[Fact], list[Fact]]:
    by_kind: dict[type[Fact], list[Fact]] = defaultdict(list)
    for fact in facts:
        by_kind[type(fact)].append(fact)
    return by_kind


@dataclass
class _Progress:
    began: bool = False
    committing: bool = False
