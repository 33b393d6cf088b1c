"""Those who wait: a place in line for each, kept in SQL, so that the order of arrival outlives Redis.

A wait is renewed while its owner stays on the line; one that is not renewed has hung up, and counts no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, delete, insert, select, update

from orchestrator.database import database_time
from orchestrator.errors import Conflict, WaitCycle
from orchestrator.resources import locks, search
from orchestrator.resources.conditions import Condition
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import Wait
from orchestrator.runs.model import Run
from orchestrator.transaction import Fact, Transaction

ALIVE = timedelta(seconds=5)
LONGEST_CYCLE = 100


class NotYourTurn(Conflict):
    """Others came before and wait for this resource"""

    code = "not_your_turn"


@dataclass(frozen=True)
class PlaceLeft(Fact):
    """Somebody has left this line: those behind may be served now."""

    line: str


def queue_line(queue_id: int) -> str:
    return f"queue:{queue_id}"


def resource_line(resource_id: int) -> str:
    return f"resource:{resource_id}"


@dataclass(frozen=True)
class Earlier:
    """One who came before, and what for."""

    who: Initiator
    modes: tuple[Mode, ...]
    condition: Condition

    def could_have(self, row: Any, now: datetime) -> bool:
        """Whether this resource is to be left to them. What another's lock keeps from them is not: who
        waits for them there, and holds that lock, would wait for ever."""
        return locks.hindrance(row, self.modes, self.who, now) is None


_LINE = and_(Wait.tenant_id == bindparam("p_tenant_id"), Wait.alive_until > database_time())
NEWCOMER = 2**62  # a ticket behind all that there are
_IN_QUEUE = select(Wait.run_id, Wait.modes, Wait.condition).where(
    Wait.queue_id == bindparam("p_queue_id"), _LINE, Wait.id < bindparam("p_ticket")
)
_AT_RESOURCE = select(Wait.run_id, Wait.modes, Wait.condition).where(
    Wait.resource_id == bindparam("p_resource_id"), _LINE, Wait.id < bindparam("p_ticket")
)
_MINE = Wait.id == bindparam("p_id"), Wait.tenant_id == bindparam("p_tenant_id")
_RENEW = update(Wait).where(*_MINE).values(alive_until=bindparam("p_until"))
_DELETE = delete(Wait).where(*_MINE)


def join(
    tx: Transaction,
    who: Initiator,
    modes: Sequence[Mode],
    *,
    queue_id: int | None = None,
    resource_id: int | None = None,
    where: Any = None,
) -> int:
    """Take a place at the end of a line; return its number."""
    row = {
        "tenant_id": tx.tenant_id,
        "queue_id": queue_id,
        "resource_id": resource_id,
        "condition": where,
        "run_id": who.run_id,
        "modes": "+".join(modes),
        "alive_until": tx.now + ALIVE,
        "created_at": tx.now,
    }
    inserted = tx.connection.execute(insert(Wait), row)
    key = inserted.inserted_primary_key
    assert key is not None  # noqa: S101  (one row was inserted)
    return int(key[0])


def stay(tx: Transaction, ticket: int) -> None:
    tx.execute(_RENEW, {"p_id": ticket, "p_tenant_id": tx.tenant_id, "p_until": tx.now + ALIVE})


def leave(tx: Transaction, ticket: int, lines: Sequence[str]) -> None:
    """Give the place up; those behind are told."""
    tx.execute(_DELETE, {"p_id": ticket, "p_tenant_id": tx.tenant_id})
    for line in lines:
        tx.announce(PlaceLeft(line))


def earlier_in_queue(tx: Transaction, queue_id: int, ticket: int | None) -> list[Earlier]:
    """Those who came before, each of whom is to be served first. `None`: nobody is asked for."""
    if ticket is None:
        return []
    asked = {"p_queue_id": queue_id, "p_tenant_id": tx.tenant_id, "p_ticket": ticket}
    rows = tx.execute(_IN_QUEUE, asked).all()
    return [_earlier(row, (Mode.READ,)) for row in rows]


def _earlier(row: Any, always: Sequence[Mode] = ()) -> Earlier:
    modes = {*always, *(Mode(mode) for mode in row.modes.split("+") if mode)}
    who = Initiator(run_id=row.run_id)
    return Earlier(who, tuple(sorted(modes)), Condition.read(row.condition or {}))


def in_turn(tx: Transaction, row: Any, modes: Sequence[Mode], who: Initiator, ticket: int | None) -> None:
    """Raise `NotYourTurn` where somebody who came before waits for the same lock, and could have it now.

    Persons wait for nobody, nor does who holds the lock already. `ticket` None: nobody is asked for.
    """
    if ticket is None or who.is_person:
        return
    wanted = set(modes) - set(locks.own(row, who, tx.now))
    if not wanted:
        return
    asked = {"p_resource_id": row.id, "p_tenant_id": tx.tenant_id, "p_ticket": ticket}
    found = tx.execute(_AT_RESOURCE, asked).all()
    if any(wanted & set(one.modes) and one.could_have(row, tx.now) for one in map(_earlier, found)):
        raise NotYourTurn


# Circles ------------------------------------------------------------------------------------------------


def refuse_cycle(tx: Transaction, who: Initiator, row: Any, modes: Sequence[Mode], ticket: int) -> None:
    """Raise `WaitCycle` where those whom `who` would wait for wait, in the end, for `who`.

    Of two that close a circle at the same moment the one who came last is refused, not both: `ticket` is
    the place of `who`. Neither sees the other's place before it is committed, so who stays asks again.
    """
    if who.run_id is None:
        return
    circle = _follow(tx, who.run_id, row, modes, ticket, [who.run_id])
    if circle is None:
        return
    guids = dict(tx.execute(select(Run.id, Run.job_guid).where(Run.id.in_(circle))).tuples().all())
    names = [str(guids.get(run_id, run_id)) for run_id in circle]
    raise WaitCycle(
        f"Waiting here would never end: {' waits for '.join([*names, names[0]])}. Release a lock first.",
        names,
    )


def _follow(
    tx: Transaction, goal: int, row: Any, modes: Sequence[Mode], ticket: int, path: list[int]
) -> list[int] | None:
    if len(path) > LONGEST_CYCLE:
        return None
    for mode in modes:
        lock = locks.held(row, mode, tx.now)
        if lock is None or lock.run_id is None or lock.until is not None:
            continue  # free, a person's, or ending by itself
        if lock.run_id == goal and len(path) > 1:
            return path
        if lock.run_id in path:
            continue
        further = select(Wait.id, Wait.resource_id, Wait.modes).where(
            Wait.run_id == lock.run_id, Wait.resource_id.is_not(None), _LINE, Wait.id < ticket
        )
        for wait in tx.execute(further, {"p_tenant_id": tx.tenant_id}).all():
            next_row = search.by_id(tx, wait.resource_id)
            if next_row is None:
                continue
            wanted = [Mode(mode) for mode in wait.modes.split("+") if mode]
            found = _follow(tx, goal, next_row, wanted, ticket, [*path, lock.run_id])
            if found is not None:
                return found
    return None
