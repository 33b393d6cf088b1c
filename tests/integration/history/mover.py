"""A master in a process of its own that moves rows, and dies or stands still when a test says so."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER
from orchestrator.config import Config
from orchestrator.database import prepare
from orchestrator.history import moving
from orchestrator.wiring import assemble, open_engine
from scheduler.maintenance import history
from scheduler.membership import Membership
from scheduler.term import Term, TermOver
from tests.servers.processes import die_with_parent

BATCH = 20
TERM_OVER, DONE = 3, 0


@dataclass(frozen=True)
class Fault:
    """After the statement number `statement`, or after `batches` batches: this signal to itself.

    `slow`: up to so many seconds after each statement, so that a kill from outside meets every moment.
    """

    signal: signal.Signals = signal.SIGKILL
    statement: int = 0
    batches: int = 0
    slow: float = 0.0


@dataclass(frozen=True)
class Mutant:
    """What the master of a checker's test leaves out."""

    transaction: bool = False
    epoch: bool = False


def settings(url: str, redis_url: str, folder: Path, number: int = 1) -> Config:
    given = {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url,
        "BOTSWAIN_SECRET_KEY": "k" * 40,
        "SCHEDULER_CLUSTER_ID": str(number),
        "SCHEDULER_CLUSTER_SIZE": "64",
        "SCHEDULER_WORKING_PATH": str(folder / f"scheduler-{number}"),
        "BOTSWAIN_MAINTENANCE_WINDOW": "always",
    }
    ages = {f"BOTSWAIN_MOVE_{name}_AFTER_DAYS": "0" for name in ("JOBS", "TASKS", "RESOURCES", "AUDIT")}
    return Config.load(given | ages)


def start(config: Config, fault: Fault, mutant: Mutant = Mutant()) -> BaseProcess:
    """Forked, because a process of its own would take longer to import than to move everything."""
    process = multiprocessing.get_context("fork").Process(target=_live, args=(config, fault, mutant))
    process.start()
    return process


def _live(config: Config, fault: Fault, mutant: Mutant) -> None:
    status = 1
    try:
        if end_with_parent := die_with_parent(signal.SIGKILL):
            end_with_parent()
        status = _move(config, fault, mutant)
    finally:
        os._exit(status)  # none of the parent's tidying up


def _move(config: Config, fault: Fault, mutant: Mutant) -> int:
    engine = open_engine(config)
    if mutant.transaction:
        engine = prepare(create_engine(config.database_url, isolation_level="AUTOCOMMIT"))
    parts = assemble(config, engine)
    member = Membership(parts)
    epoch = member.run(lambda tx: cluster.acquire_lease(tx, MASTER, member.me.owner, member.lease))
    if epoch is None:
        return 2
    term = Term(member, parts, epoch)
    if mutant.epoch:
        cluster.lock_lease = lambda *_: True
    moving.step.__defaults__ = (BATCH,)
    event.listen(engine, "after_cursor_execute", _trip(fault))
    try:
        for number, _ in enumerate(history.batches(term), 1):
            if number == fault.batches:
                os.kill(os.getpid(), fault.signal)
    except TermOver:
        return TERM_OVER
    return DONE


def _trip(fault: Fault) -> Callable[..., None]:
    count = [0]

    def after(*_: Any) -> None:
        count[0] += 1
        if count[0] == fault.statement:
            os.kill(os.getpid(), fault.signal)
        if fault.slow:
            time.sleep(random.uniform(0, fault.slow))

    return after
