"""Locks: who holds one, whom it hinders, and the columns that say so.

A read lock hides the resource from others who search and holds up those who read it by id; it stops no
change. A write lock lets others find and read, and holds up those who change. Each is held by one
initiator, a run or a person; neither ever hinders its initiator, nor any person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.errors import Locked, StaleFence


class Mode(StrEnum):
    READ = "read"
    WRITE = "write"


MODES: dict[str, tuple[Mode, ...]] = {
    "none": (),
    "read": (Mode.READ,),
    "write": (Mode.WRITE,),
    "both": (Mode.READ, Mode.WRITE),
}


@dataclass(frozen=True)
class Initiator:
    """Who asks or holds. The run, not the robot: a robot started twice is two initiators."""

    run_id: int | None = None
    job_guid: str = ""
    person: str | None = None

    @property
    def is_person(self) -> bool:
        return self.run_id is None


@dataclass(frozen=True)
class Held:
    """A lock as it is now: its holder, its end (None: that of the run), and its fencing number."""

    mode: Mode
    run_id: int | None
    person: str | None
    until: datetime | None
    fence: int

    def is_of(self, who: Initiator) -> bool:
        return (self.run_id, self.person) == (who.run_id, who.person)


def held(row: Any, mode: Mode, now: datetime) -> Held | None:
    """The lock, unless it is free or its date has passed: a dated lock ends by itself, with nobody asking."""
    run_id, person = getattr(row, f"{mode}_run_id"), getattr(row, f"{mode}_person")
    until = getattr(row, f"{mode}_until")
    if (run_id is None and person is None) or (until is not None and until <= now):
        return None
    return Held(mode, run_id, person, until, getattr(row, f"{mode}_fence"))


def hindrance(row: Any, modes: Iterable[Mode], who: Initiator, now: datetime) -> Held | None:
    """The first of these locks that stands in the way of `who`."""
    if who.is_person:
        return None
    for mode in modes:
        lock = held(row, mode, now)
        if lock is not None and not lock.is_of(who):
            return lock
    return None


def granting(
    row: Any, modes: Iterable[Mode], who: Initiator, until: datetime | None
) -> tuple[int, dict[str, Any]]:
    """The fence of a grant, and the columns that make it."""
    fence = row.fence + 1
    values: dict[str, Any] = {"fence": fence}
    for mode in modes:
        values |= {
            f"{mode}_run_id": who.run_id,
            f"{mode}_person": who.person,
            f"{mode}_until": until,
            f"{mode}_fence": fence,
        }
    return fence, values


def freeing(modes: Iterable[Mode]) -> dict[str, Any]:
    """The columns that free locks. The fence stays: it only grows."""
    values: dict[str, Any] = {}
    for mode in modes:
        values |= {f"{mode}_run_id": None, f"{mode}_person": None, f"{mode}_until": None}
    return values


def own(row: Any, who: Initiator, now: datetime) -> tuple[Mode, ...]:
    """The locks that `who` holds."""
    found = [(mode, held(row, mode, now)) for mode in Mode]
    return tuple(mode for mode, lock in found if lock is not None and lock.is_of(who))


def check_fence(row: Any, fence: int | None, who: Initiator, now: datetime) -> None:
    """Raise `StaleFence` where the lock that this number came with has passed to another.

    The number of the latest grant still counts when its date has passed and nobody has come since.
    """
    if fence is None or fence == row.fence:
        return
    valid = {getattr(row, f"{mode}_fence") for mode in own(row, who, now)}
    if fence not in valid:
        raise StaleFence(
            f"The lock that fence {fence} came with has passed on: the resource is at fence {row.fence}."
        )


def refuse(lock: Held, what: str, holder: dict[str, Any]) -> Locked:
    """The error that names who stands in the way, and until when."""
    until = f" until {lock.until:%Y-%m-%d %H:%M:%S} UTC" if lock.until else ""
    return Locked(
        f"The resource cannot be {what}: its {lock.mode} lock is held by {holder['kind']} "
        f"{holder['id']}{until}.",
        lock=lock.mode.value,
        holder=holder,
        until=lock.until,
    )
