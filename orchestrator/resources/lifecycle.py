"""The verbs of resources: take, read, change, finish, lock, unlock, delete.

Each reads the row, decides by the rules in `locks.py`, and changes it by a compare-and-set on its version:
SQL decides, whatever Redis proposed. `changes.Outrun` means that somebody was quicker; the edge runs the
verb again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select

from orchestrator.errors import Conflict, NotFound
from orchestrator.resources import changes, history, locks, past, queues, retries, schemas, search, waits
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import rank
from orchestrator.resources.holders import describe
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import STATUS_NAMES, ErrorKind, Resource, ResourceStatus, ResourceTerm
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction

Row = Mapping[str, Any]
# Of candidates' ids in order, the one that nobody else is being given at this moment; None: none of them.
Propose = Callable[[Sequence[int]], int | None]
CANDIDATES = 20
DONE = (ResourceStatus.PROCESSED, ResourceStatus.ERROR)


@dataclass(frozen=True)
class Taken:
    """The resource as it is now, the fencing number of the lock that came with it (0: none), and for whom."""

    row: Row
    fence: int
    who: Initiator | None = None


def take(
    tx: Transaction,
    queue_key: str,
    condition: Condition,
    who: Initiator,
    modes: Sequence[Mode],
    until: datetime | None,
    propose: Propose,
    ticket: int | None = None,
) -> Taken | None:
    """Give `who` the first resource of the queue that fits, with the locks asked for; None: there is none.

    Taking with a read lock begins work: the resource is InProgress from then on, and hidden from others.
    """
    queue = queues.existing(tx, queue_key)
    if who.run_id is not None and modes:
        runs.hold(tx, who.run_id)
    earlier = waits.earlier_in_queue(tx, queue.id, ticket)
    free = _free(tx, queue.id, condition, who, modes, earlier)
    if not free:
        return None
    chosen = propose([row.id for row in free]) if modes else free[0].id
    row = _whole(tx, next((row for row in free if row.id == chosen), None))
    if not modes:
        return Taken(dict(row._mapping), 0)
    return granted(tx, row, who, modes, until)


def _free(
    tx: Transaction,
    queue_id: int,
    condition: Condition,
    who: Initiator,
    modes: Sequence[Mode],
    earlier: Sequence[waits.Earlier],
) -> list[Any]:
    """The first rows that `who` may have: not hidden or locked by others, nor due to one who came before."""
    found: list[Any] = []
    limit = CANDIDATES if modes else 1
    light = not earlier and search.is_light(condition)
    for row in search.in_line(tx, queue_id, condition, light=light):
        hidden = locks.hindrance(row, {Mode.READ, *modes}, who, tx.now)
        if hidden is None and not _is_due_to(earlier, row, tx.now):
            found.append(row)
            if len(found) == limit:
                break
    return found


def _whole(tx: Transaction, found: Any) -> Any:
    """The row found, with all its columns. Raises `Outrun` where it is not as it was found, or was not."""
    if found is None:
        raise changes.Outrun
    if hasattr(found, "public_id"):
        return found
    row = search.by_id(tx, found.id)
    if row is None or row.version != found.version:
        raise changes.Outrun
    return row


def _is_due_to(earlier: Sequence[waits.Earlier], row: Any, now: datetime) -> bool:
    return any(search.is_wanted(row, one.condition) and one.could_have(row, now) for one in earlier)


def granted(
    tx: Transaction, row: Any, who: Initiator, modes: Sequence[Mode], until: datetime | None
) -> Taken:
    fence, values = taking(tx, row, who, modes, until)
    after = changes.apply(
        tx, "take", row, values, who, locks=[str(mode) for mode in modes], until=_text(until)
    )
    return Taken(after, fence)


def taking(
    tx: Transaction, row: Any, who: Initiator, modes: Sequence[Mode], until: datetime | None
) -> tuple[int, dict[str, Any]]:
    """The fence of the grant, and the columns that make `row` taken: with a read lock, work begins."""
    fence, values = locks.granting(row, modes, who, until)
    values["updated_at"] = tx.now
    if Mode.READ in modes:
        values |= {
            "status": ResourceStatus.IN_PROGRESS.value,
            "attempt": row.attempt + 1,
            "taken_by": who.run_id,
            "progress_at": tx.now,
        }
    return fence, values


def read(
    tx: Transaction,
    public_id: str,
    who: Initiator,
    fence: int | None = None,
    ticket: int | None = None,
) -> Row:
    """The resource by its id. Raises `Locked` while another's read lock hides it."""
    row = past.look(tx, public_id)
    locks.check_fence(row, fence, who, tx.now)
    let_pass(tx, row, (Mode.READ,), who, "read", ticket)
    return dict(row._mapping)


def change(
    tx: Transaction,
    public_id: str,
    who: Initiator,
    wanted: Mapping[str, Any],
    fence: int | None = None,
    ticket: int | None = None,
) -> Row:
    """Change value, tags, priority, parameters, reference, postpone_until, deadline or (a person) status.

    A read lock of another does not stop a change; a write lock does.
    """
    row = existing(tx, public_id)
    locks.check_fence(row, fence, who, tx.now)
    let_pass(tx, row, (Mode.WRITE,), who, "changed", ticket)
    if wanted.get("reference") not in (None, row.reference):
        past.refuse_taken(tx, row.queue_id, wanted["reference"])
    if "value" in wanted:
        schemas.check_values(queues.by_id(tx, row.queue_id).json_schema, {"value": wanted["value"]})
    values = dict(wanted) | {"updated_at": tx.now}
    if row.taken_by is not None and row.taken_by == who.run_id:
        values["progress_at"] = tx.now
    values |= _place(tx, row, values)
    freed = any(values.get(name, getattr(row, name)) != getattr(row, name) for name in changes.INDEXED)
    return changes.apply(tx, "change", row, values, who, frees=freed, **_shown(wanted))


def _place(tx: Transaction, row: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Where it stands in line, by the priority and times that it now has."""
    postpone_until = values.get("postpone_until", row.postpone_until)
    deadline = values.get("deadline", row.deadline)
    overdue = deadline is not None and deadline <= tx.now
    placed: dict[str, Any] = {
        "is_postponed": postpone_until is not None and postpone_until > tx.now,
        "is_overdue": overdue,
        "rank": rank(values.get("priority", row.priority), overdue),
    }
    status = values.get("status", row.status)
    return placed | (_begun_anew(status) if status != row.status else {})


def _begun_anew(status: int) -> dict[str, Any]:
    """The columns that a new status, set by a person, makes void."""
    void: dict[str, Any] = {}
    if status != ResourceStatus.IN_PROGRESS:
        void["taken_by"] = None
    if status != ResourceStatus.ERROR:
        void |= {"error": None, "error_kind": None}
    if status == ResourceStatus.NEW:
        void["result"] = None
    return void


def finish(
    tx: Transaction,
    public_id: str,
    who: Initiator,
    *,
    result: Any = None,
    error: str | None = None,
    error_kind: ErrorKind | None = None,
    fence: int | None = None,
    ticket: int | None = None,
) -> Row:
    """Processed with a result or, with an `error_kind`, Error; the caller's locks go in the same step.

    An error that the queue's policy retries puts the resource back to New instead. What is finished is
    finished once: said again, because the answer was lost, it changes nothing.
    """
    row = existing(tx, public_id)
    locks.check_fence(row, fence, who, tx.now)
    if row.taken_by is not None and not who.is_person and row.taken_by != who.run_id:
        raise Conflict("Another run works on this resource; only that run or a person finishes it.")
    let_pass(tx, row, (Mode.WRITE,), who, "finished", ticket)
    if row.status in DONE and not who.is_person and not locks.own(row, who, tx.now):
        if _outcome(row) == (result, error, error_kind.value if error_kind else None):
            return dict(row._mapping)
        raise Conflict(f"The resource is {STATUS_NAMES[ResourceStatus(row.status)]} already.")
    mine = tuple(Mode) if who.is_person else locks.own(row, who, tx.now)
    if error_kind is None:
        values = processed(tx, mine, result)
        return changes.apply(tx, "finish", row, values, who, frees=True, result=result)
    values = processed(tx, mine, result) | {"error": error}
    queue = queues.by_id(tx, row.queue_id)
    values |= retries.after_error(tx, queue, row, error_kind)
    return changes.apply(tx, "fail", row, values, who, frees=True, error=error, kind=error_kind.value)


def processed(tx: Transaction, freed: Iterable[Mode], result: Any) -> dict[str, Any]:
    """The columns of a resource that is done, with these locks freed."""
    return {
        "status": ResourceStatus.PROCESSED.value,
        "updated_at": tx.now,
        "taken_by": None,
        "result": result,
        "error": None,
        "error_kind": None,
        **locks.freeing(freed),
    }


def lock(
    tx: Transaction,
    public_id: str,
    who: Initiator,
    modes: Sequence[Mode],
    until: datetime | None,
    fence: int | None = None,
    ticket: int | None = None,
) -> Taken:
    """Set locks on a resource, or change the date of one's own. A person becomes the initiator."""
    row = existing(tx, public_id)
    locks.check_fence(row, fence, who, tx.now)
    if who.run_id is not None:
        runs.hold(tx, who.run_id)
    let_pass(tx, row, modes, who, "locked", ticket)
    granted, values = locks.granting(row, modes, who, until)
    after = changes.apply(
        tx, "lock", row, values, who, locks=[str(mode) for mode in modes], until=_text(until)
    )
    return Taken(after, granted)


def unlock(
    tx: Transaction, public_id: str, who: Initiator, modes: Iterable[Mode], fence: int | None = None
) -> Row:
    """Lift locks: one's own, or, as a person, anybody's. A lock that is not there needs no lifting.

    Of several, those of others stay as they are; `Locked` where none is one's own.
    """
    row = existing(tx, public_id)
    locks.check_fence(row, fence, who, tx.now)
    present = [mode for mode in modes if locks.held(row, mode, tx.now) is not None]
    own = locks.own(row, who, tx.now)
    lifted = present if who.is_person else [mode for mode in present if mode in own]
    let_pass(tx, row, lifted or present, who, "unlocked")
    if not lifted:
        return dict(row._mapping)
    values = locks.freeing(lifted)
    return changes.apply(tx, "unlock", row, values, who, frees=True, locks=[str(mode) for mode in lifted])


def remove(
    tx: Transaction, public_id: str, who: Initiator, fence: int | None = None, ticket: int | None = None
) -> None:
    """Delete a resource. Its history stays, and can be read under its id."""
    row = existing(tx, public_id)
    locks.check_fence(row, fence, who, tx.now)
    let_pass(tx, row, (Mode.WRITE,), who, "deleted", ticket)
    unchanged = select(Resource.id).where(
        Resource.id == row.id, Resource.tenant_id == tx.tenant_id, Resource.version == row.version
    )
    if tx.execute(unchanged.with_for_update()).first() is None:
        raise changes.Outrun
    tx.execute(delete(ResourceTerm).where(ResourceTerm.resource_id == row.id))
    history.write(tx, [history.line(tx, "delete", dict(row._mapping), who)])
    past.bury(tx, row.id)
    tx.announce(changes.ResourcesFreed(row.queue_id, (row.id,)))


def existing(tx: Transaction, public_id: str) -> Any:
    row = search.by_public_id(tx, public_id)
    if row is None:
        raise NotFound(f"There is no resource {public_id!r}.")
    return row


def let_pass(
    tx: Transaction,
    row: Any,
    modes: Sequence[Mode],
    who: Initiator,
    what: str,
    ticket: int | None = None,
) -> None:
    lock = locks.hindrance(row, modes, who, tx.now)
    if lock is not None:
        raise locks.refuse(lock, what, describe(tx, lock))
    waits.in_turn(tx, row, modes, who, ticket)


def _outcome(row: Any) -> tuple[Any, str | None, str | None]:
    return row.result, row.error, row.error_kind


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _text(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
