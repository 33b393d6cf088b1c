"""A robot's turn at a resource that it names: beginning work on it, and giving it back undone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from orchestrator.errors import Conflict
from orchestrator.resources import changes, lifecycle, locks, search
from orchestrator.resources.lifecycle import Row, Taken
from orchestrator.resources.locks import Initiator, Mode
from orchestrator.resources.model import STATUS_NAMES, ResourceStatus
from orchestrator.runs import lifecycle as runs
from orchestrator.transaction import Transaction


def begin(tx: Transaction, public_id: str, who: Initiator) -> Taken:
    """Take the named resource with a read lock, as `take` takes the first that fits; it must be New.

    Said again by the run that works on it, because the answer was lost, it changes nothing.
    """
    row = lifecycle.existing(tx, public_id)
    if who.run_id is not None:
        runs.hold(tx, who.run_id)
    lifecycle.let_pass(tx, row, (Mode.READ,), who, "taken")
    if row.status == ResourceStatus.IN_PROGRESS and row.taken_by == who.run_id:
        return Taken(dict(row._mapping), row.read_fence)
    if row.status != ResourceStatus.NEW:
        raise Conflict(f"The resource is {STATUS_NAMES[ResourceStatus(row.status)]}; not New.")
    return lifecycle.granted(tx, row, who, (Mode.READ,), None)


def put_back(tx: Transaction, public_id: str, who: Initiator, until: datetime | None) -> Row:
    """New again, and not served before `until`; the caller's locks go in the same step."""
    row = lifecycle.existing(tx, public_id)
    if row.taken_by is not None and not who.is_person and row.taken_by != who.run_id:
        raise Conflict("Another run works on this resource; only that run or a person puts it back.")
    lifecycle.let_pass(tx, row, (Mode.WRITE,), who, "put back")
    mine = tuple(Mode) if who.is_person else locks.own(row, who, tx.now)
    values = {
        "status": ResourceStatus.NEW.value,
        "taken_by": None,
        "postpone_until": until,
        "is_postponed": until is not None and until > tx.now,
        "updated_at": tx.now,
        **locks.freeing(mine),
    }
    shown = until.isoformat() if until is not None else None
    return changes.apply(tx, "put_back", row, values, who, frees=True, postpone_until=shown)


def take_back(
    tx: Transaction, public_id: str, who: Initiator, fence: int, *, begun: bool, kept: Collection[Mode] = ()
) -> None:
    """A grant that reached nobody: its locks go, but those that `who` had before, `kept`. Where work had
    `begun` with it the resource is New again, and the attempt does not count.

    Nothing happens where the grant holds no longer: the run has ended, or a person has been there.
    """
    row = search.by_public_id(tx, public_id)
    mine = locks.own(row, who, tx.now) if row is not None else ()
    gone = [mode for mode in mine if mode not in kept and getattr(row, f"{mode}_fence") == fence]
    if row is None or not gone:
        return
    values = {**locks.freeing(gone), "updated_at": tx.now}
    if begun and row.status == ResourceStatus.IN_PROGRESS and row.taken_by == who.run_id:
        values |= {"status": ResourceStatus.NEW.value, "taken_by": None, "attempt": max(row.attempt - 1, 0)}
    changes.apply(tx, "undelivered", row, values, who, frees=True, locks=[str(mode) for mode in gone])
