"""The verbs of calendars: create, change, delete, and finding them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import delete, insert, select, update

from orchestrator import audit
from orchestrator.calendars import working_days
from orchestrator.calendars.model import Calendar
from orchestrator.database import new_guid
from orchestrator.errors import Conflict, Invalid, NotFound
from orchestrator.named import Named
from orchestrator.transaction import Transaction

MONDAY_TO_FRIDAY = (1, 2, 3, 4, 5)

_CALENDARS = Named(Calendar, "calendar")
existing = _CALENDARS.existing


@dataclass
class NewCalendar:
    """Dates are texts like 2026-12-24; `days_off` says of each what it is, `working_days` prevail."""

    name: str
    country: str | None = None
    subdivision: str | None = None
    weekdays: Sequence[int] = MONDAY_TO_FRIDAY
    days_off: Mapping[str, str] = field(default_factory=dict)
    working_days: Sequence[str] = ()


def create(tx: Transaction, new: NewCalendar) -> str:
    """Create a calendar; return its public id."""
    _CALENDARS.refuse_double(tx, new.name)
    _check_country(new.country, new.subdivision)
    public_id = new_guid()
    row = asdict(new) | {"tenant_id": tx.tenant_id, "public_id": public_id}
    row |= {"working_days": list(new.working_days), "weekdays": list(new.weekdays)}
    tx.execute(insert(Calendar), row | {"created_at": tx.now, "updated_at": tx.now})
    audit.record(tx, "calendar.create", new.name)
    return public_id


def change(tx: Transaction, key: str, then: Callable[[int], None], **changes: Any) -> str:
    """Change a calendar; return its public id. `then` is called with its id: due times may have changed."""
    calendar = existing(tx, key)
    if changes.get("name", calendar.name) != calendar.name:
        _CALENDARS.refuse_double(tx, changes["name"])
    country = changes.get("country", calendar.country)
    if "country" in changes and country != calendar.country:
        changes.setdefault("subdivision", None)
    _check_country(country, changes.get("subdivision", calendar.subdivision))
    mine = update(Calendar).where(Calendar.id == calendar.id, Calendar.tenant_id == tx.tenant_id)
    tx.execute(mine.values(**changes, updated_at=tx.now))
    audit.record(tx, "calendar.change", calendar.name, fields=sorted(changes))
    then(calendar.id)
    return str(calendar.public_id)


def remove(tx: Transaction, key: str, used_by: Callable[[int], str | None]) -> None:
    """Delete a calendar that nothing uses; `used_by` names a trigger that does."""
    calendar = existing(tx, key)
    _lock(tx, calendar.id, key)  # who is giving it to a trigger at this moment has come to an end
    if user := used_by(calendar.id):
        raise Conflict(f"Calendar {calendar.name!r} is used by trigger {user!r}; change that first.")
    tx.execute(delete(Calendar).where(Calendar.id == calendar.id, Calendar.tenant_id == tx.tenant_id))
    audit.record(tx, "calendar.delete", calendar.name)


def id_to_keep(tx: Transaction, key: str) -> int:
    """The id of a calendar that is going to be used: it stays as it is until the transaction ends."""
    calendar_id = int(existing(tx, key).id)
    _lock(tx, calendar_id, key, shared=True)
    return calendar_id


def _lock(tx: Transaction, calendar_id: int, key: str, *, shared: bool = False) -> None:
    query = select(Calendar.id).where(Calendar.id == calendar_id, Calendar.tenant_id == tx.tenant_id)
    if tx.execute(query.with_for_update(read=shared)).first() is None:
        raise NotFound(f"There is no calendar {key!r}.")


def _check_country(country: str | None, subdivision: str | None) -> None:
    known = working_days.countries()
    if country is None:
        if subdivision is not None:
            raise Invalid.field("subdivision", "give the country that it is a part of")
        return
    if country not in known:
        raise Invalid.field("country", f"no holidays are known of {country!r}; give a code like ES or DE")
    if subdivision is not None and subdivision not in known[country]:
        parts = ", ".join(known[country][:80]) or "none"
        raise Invalid.field("subdivision", f"{country} has no part {subdivision!r}; there are: {parts}")


def by_id(tx: Transaction, calendar_id: int) -> Any:
    query = select(*Calendar.__table__.columns)
    return tx.execute(query.where(Calendar.id == calendar_id, Calendar.tenant_id == tx.tenant_id)).one()


def working_days_of(tx: Transaction, calendar_id: int | None) -> working_days.WorkingDays | None:
    """The days of a calendar; None where there is no calendar: all days have work."""
    if calendar_id is None:
        return None
    return working_days.WorkingDays.of(by_id(tx, calendar_id))
