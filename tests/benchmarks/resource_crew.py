"""Robots that take and finish without HTTP: threads in a few processes, each with its own connection."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

from redis import Redis
from sqlalchemy import create_engine, make_url

from orchestrator.api.patience import settled
from orchestrator.batching import Batcher
from orchestrator.database import engine_options, prepare
from orchestrator.resources import batches, proposals
from orchestrator.resources.batches import Asker, Finish, Request, Take
from orchestrator.resources.conditions import Condition
from orchestrator.resources.proposals import Proposals
from orchestrator.robots.presence import WAKE_CHANNEL
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import SYSTEM, Actor, Transaction, Transactions
from tests.benchmarks.resource_tables import PLAIN_HEAD, PLAIN_TAKE, QUEUE_ID, connect

PROCESSES = 4
IN_PROGRESS, PROCESSED = 1, 2
Step = Callable[[], bool]  # take and finish one; False: there is none left


class Verbs:
    """The verbs of resources as the API calls them, on one engine."""

    def __init__(self, url: str, redis_url: str, connections: int = 1) -> None:
        options = engine_options(make_url(url), connections)
        self.transactions = Transactions(prepare(create_engine(url, **options)))
        self._redis = Redis.from_url(redis_url)
        self.proposals = Proposals(self._redis, WAKE_CHANNEL)
        proposals.subscribe(self.transactions, self.proposals)
        self._batcher: Batcher[Request, Any] = Batcher(self._perform)

    def run(self, work: Callable[[Transaction], Any], actor: Actor) -> Any:
        return self.transactions.run(work, tenant_id=DEFAULT_TENANT, actor=actor)

    def take(self, run_id: int, where: dict[str, Any] | None = None) -> Any:
        """The row taken, or None."""
        condition = Condition.read(where or {})
        asked = Take(_asker(run_id), QUEUE_ID, condition, json.dumps(where))
        taken = settled(lambda: self._batcher.submit(DEFAULT_TENANT, asked))
        return taken.row if taken is not None else None

    def finish(self, run_id: int, guid: str) -> None:
        ending = Finish(_asker(run_id), guid, {"done": True})
        settled(lambda: self._batcher.submit(DEFAULT_TENANT, ending))

    def forget(self) -> None:
        """What was proposed to whom."""
        self._redis.flushdb()

    def _perform(self, requests: Sequence[Request]) -> list[Any]:
        token = uuid.uuid4().hex

        def propose(ids: Sequence[int], count: int) -> Sequence[int]:
            return self.proposals.choose_some(ids, count, token)

        return list(self.run(lambda tx: batches.perform(tx, requests, propose), SYSTEM))

    def step(self, run_id: int) -> Step:
        def once() -> bool:
            row = self.take(run_id)
            if row is not None:
                self.finish(run_id, row["public_id"])
            return row is not None

        return once


def _asker(run_id: int) -> Asker:
    return Asker(Actor("robot", f"robot-{run_id}", run_id))


def plain_step(url: str, run_id: int, *, finishes: bool) -> Step:
    """SELECT … FOR UPDATE SKIP LOCKED, UPDATE, COMMIT; with `finishes` a second UPDATE and COMMIT."""
    connection = connect(url)

    def once() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(PLAIN_HEAD)
            row = cursor.fetchone()
            if row is not None:
                status = IN_PROGRESS if finishes else PROCESSED
                cursor.execute(PLAIN_TAKE.format(status, run_id, row[0]))
            connection.commit()
            if row is not None and finishes:
                cursor.execute(PLAIN_TAKE.format(PROCESSED, "NULL", row[0]))
                connection.commit()
        return row is not None

    return once


class Crew:
    """Processes that stay for the whole run; a measure is a command to all of them."""

    def __init__(self, url: str, redis_url: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._lines: list[Connection] = []
        self._members = []
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            member = context.Process(target=_serve, args=(theirs, url, redis_url, number), daemon=True)
            member.start()
            self._lines.append(ours)
            self._members.append(member)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.send(None)
        for member in self._members:
            member.join(10)
            member.kill()

    def rate(self, kind: str, robots: int, seconds: float) -> float:
        """Resources a second, by `robots` at once."""
        lines = self._lines[: min(robots, PROCESSES)]
        for line in lines:
            line.send((kind, robots // len(lines), seconds))
        answers = [line.recv() for line in lines]
        if wrong := [answer for answer in answers if isinstance(answer, str)]:
            raise RuntimeError(wrong[0])
        return float(sum(answers))


def _serve(line: Connection, url: str, redis_url: str, number: int) -> None:
    steps: dict[tuple[str, int], Step] = {}
    ours = Verbs(url, redis_url, connections=64 // PROCESSES)
    while (command := line.recv()) is not None:
        kind, threads, seconds = command
        chosen = []
        for thread in range(threads):
            run_id = 1 + number + PROCESSES * thread
            if (kind, run_id) not in steps:
                is_ours = kind == "ours"
                steps[kind, run_id] = (
                    ours.step(run_id) if is_ours else plain_step(url, run_id, finishes=kind == "plain two")
                )
            chosen.append(steps[kind, run_id])
        try:
            line.send(_rate(chosen, seconds))
        except Exception as error:
            line.send(f"{type(error).__name__}: {error}")


def _rate(steps: list[Step], seconds: float) -> float:
    counts = [0] * len(steps)
    faults: list[BaseException] = []
    end = time.monotonic() + seconds

    def go(number: int) -> None:
        try:
            while time.monotonic() < end:
                if not steps[number]():
                    raise RuntimeError("the queue is empty: fill it with more")
                counts[number] += 1
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(len(steps))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return sum(counts) / (time.monotonic() - began)
