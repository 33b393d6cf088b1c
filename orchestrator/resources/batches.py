"""Takes and finishes of several robots at once, in one transaction: what many robots at one queue do.

The rules are those of `lifecycle`, asked for each; only the statements are shared. What is out of the
ordinary (somebody waits in line, an error, a person) is `Alone`: it is done on its own, by `lifecycle`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import BotswainError
from orchestrator.resources import bulk, history, lifecycle, locks, search, waits
from orchestrator.resources.bulk import Change
from orchestrator.resources.changes import Outrun
from orchestrator.resources.conditions import Condition
from orchestrator.resources.holders import describe
from orchestrator.resources.lifecycle import Row, Taken
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import ResourceStatus
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Actor, Transaction

# Of candidates' ids in order, up to as many as asked for that nobody else is being given at this moment.
Propose = Callable[[Sequence[int], int], Sequence[int]]
CANDIDATES = 16  # beyond those asked for: some are being given to others


class Alone(Exception):  # noqa: N818  (an outcome, not an error)
    """This is out of the ordinary: it must be done in a transaction of its own."""


@dataclass(frozen=True)
class Asker:
    """A robot, and the job in whose run it asks, where it names one."""

    robot: Actor
    job_guid: str | None = None


@dataclass(frozen=True)
class Take:
    """The first New resource of a queue that fits, with a read lock; `in_turn`: unless others wait there."""

    asker: Asker
    queue_id: int
    condition: Condition = field(compare=False)
    where: str = ""  # the condition as text: equal ones are looked for together
    in_turn: bool = False


@dataclass(frozen=True)
class Finish:
    """The end of a resource: Processed with `result`."""

    asker: Asker
    public_id: str
    result: Any = None
    fence: int | None = None


Request = Take | Finish
# None: there is none left to take. `Outrun`: others were quicker, ask again. Another error: it is refused.
Outcome = Taken | Row | Exception | None


def perform(tx: Transaction, requests: Sequence[Request], propose: Propose) -> list[Outcome]:
    """Do all of `requests`; return what became of each, in order: `Taken`, or the row that is finished.

    Raises `Outrun` where others were quicker with any: the transaction must then be rolled back.
    """
    who = _initiators(tx, requests)
    outcomes: dict[int, Outcome] = {
        number: one for number, one in enumerate(who) if isinstance(one, Exception)
    }
    changes: dict[int, Change] = {}
    _finish_all(tx, requests, who, outcomes, changes)
    ended = bulk.apply(tx, list(changes.values()), frees=True)
    for number, row in zip(changes, ended, strict=True):
        outcomes[number] = row
    takes: dict[int, Change] = {}
    _take_all(tx, requests, who, propose, outcomes, takes)
    given = bulk.apply(tx, list(takes.values()))
    for number, row in zip(takes, given, strict=True):
        outcomes[number] = Taken(row, row["fence"], takes[number].who)
    history.write(tx, [*bulk.lines(tx, changes.values(), ended), *bulk.lines(tx, takes.values(), given)])
    return [outcomes[number] for number in range(len(requests))]


# Finishing ----------------------------------------------------------------------------------------------


def _finish_all(
    tx: Transaction,
    requests: Sequence[Request],
    who: Sequence[Initiator | Exception],
    outcomes: dict[int, Outcome],
    changes: dict[int, Change],
) -> None:
    asked = {n: one for n, one in enumerate(requests) if isinstance(one, Finish) and n not in outcomes}
    if not asked:
        return
    rows = {row.public_id: row for row in search.by_public_ids(tx, [one.public_id for one in asked.values()])}
    named = Counter(one.public_id for one in asked.values())
    for number, one in asked.items():
        row, initiator = rows.get(one.public_id), who[number]
        if row is None or named[one.public_id] > 1 or not isinstance(initiator, Initiator):
            outcomes[number] = Alone()
        elif refusal := _refusal(tx, one, row, initiator):
            outcomes[number] = refusal
        else:
            values = lifecycle.processed(tx, (Mode.READ,), one.result)
            before = dict(row._mapping)
            detail = {"result": one.result}
            changes[number] = Change("finish", before, values, one.asker.robot, initiator, detail)


def _refusal(tx: Transaction, one: Finish, row: Any, who: Initiator) -> Exception | None:
    try:
        locks.check_fence(row, one.fence, who, tx.now)
    except BotswainError as stale:
        return stale
    if lock := locks.hindrance(row, (Mode.WRITE,), who, tx.now):
        return locks.refuse(lock, "finished", describe(tx, lock))
    is_own = row.status == ResourceStatus.IN_PROGRESS and row.taken_by == who.run_id
    return None if is_own and locks.own(row, who, tx.now) == (Mode.READ,) else Alone()


# Taking -------------------------------------------------------------------------------------------------


def _take_all(
    tx: Transaction,
    requests: Sequence[Request],
    who: Sequence[Initiator | Exception],
    propose: Propose,
    outcomes: dict[int, Outcome],
    changes: dict[int, Change],
) -> None:
    alike: dict[tuple[int, str, bool], dict[int, Take]] = defaultdict(dict)
    for number, one in enumerate(requests):
        if isinstance(one, Take) and number not in outcomes:
            alike[one.queue_id, one.where, one.in_turn][number] = one
    for asked in alike.values():
        _take_alike(tx, asked, who, propose, outcomes, changes)


def _take_alike(
    tx: Transaction,
    asked: Mapping[int, Take],
    who: Sequence[Initiator | Exception],
    propose: Propose,
    outcomes: dict[int, Outcome],
    changes: dict[int, Change],
) -> None:
    """Takes of one queue with one condition, in the order in which they were asked."""
    first = next(iter(asked.values()))
    initiators = {number: one for number in asked if isinstance(one := who[number], Initiator)}
    try:
        if first.in_turn and waits.earlier_in_queue(tx, first.queue_id, waits.NEWCOMER):
            raise Alone
        heads = _heads(tx, first.queue_id, first.condition, list(initiators.values()), propose)
    except Alone as alone:
        outcomes |= dict.fromkeys(asked, alone)
        return
    rows = iter(heads.rows)
    for number, initiator in initiators.items():
        row = next(rows, None)
        if row is None:
            outcomes[number] = None if heads.are_all else Outrun()
            continue
        _, values = lifecycle.taking(tx, row, initiator, (Mode.READ,), None)
        robot = asked[number].asker.robot
        detail = {"locks": [str(Mode.READ)], "until": None}
        changes[number] = Change("take", dict(row._mapping), values, robot, initiator, detail)


@dataclass(frozen=True)
class _Heads:
    """Rows to give away; `are_all`: there were no others, not even such as are being given to others."""

    rows: Sequence[Any]
    are_all: bool


def _heads(
    tx: Transaction,
    queue_id: int,
    condition: Condition,
    askers: Sequence[Initiator],
    propose: Propose,
) -> _Heads:
    """A row for each of `askers`, as far as there are, from the head of the line."""
    free = _free(tx, queue_id, condition, askers)
    chosen = propose([row.id for row in free], len(askers)) if free else ()
    found = {row.id: row for row in search.by_ids(tx, chosen)} if chosen else {}
    versions = {row.id: row.version for row in free}
    whole = [found[one] for one in chosen if one in found and found[one].version == versions[one]]
    return _Heads(whole, len(whole) == len(free) < len(askers) + CANDIDATES)


def _free(tx: Transaction, queue_id: int, condition: Condition, askers: Sequence[Initiator]) -> list[Any]:
    """Candidates in the order of service. `Alone` where one of the askers has locked one: it may have it."""
    nobody = Initiator(run_id=0)
    free: list[Any] = []
    for row in search.in_line(tx, queue_id, condition, light=search.is_light(condition)):
        lock = locks.hindrance(row, (Mode.READ,), nobody, tx.now)
        if lock is None:
            free.append(row)
            if len(free) == len(askers) + CANDIDATES:
                break
        elif any(lock.is_of(who) for who in askers):
            raise Alone
    return free


def _initiators(tx: Transaction, requests: Sequence[Request]) -> list[Initiator | Exception]:
    """The run of each, or why there is none. Runs that take are kept from ending meanwhile."""
    live = runs.of_robots(tx, [one.asker.robot.id for one in requests])
    found: list[Initiator | Exception] = []
    unmarked: set[int] = set()
    for one in requests:
        try:
            run = runs.choose(live.get(one.asker.robot.id, ()), one.asker.job_guid)
        except runs.NoRun as refusal:
            found.append(refusal)
            continue
        found.append(Initiator(run_id=run.id, job_guid=run.job_guid))
        if isinstance(one, Take) and runs.is_to_be_marked(tx, run):
            unmarked.add(run.id)
    runs.mark_used(tx, sorted(unmarked))
    return found
