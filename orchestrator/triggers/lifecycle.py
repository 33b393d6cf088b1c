"""The verbs of triggers: create, change, enable, disable, delete, fire by hand, and finding them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import delete, insert, select, update

from orchestrator import audit
from orchestrator.calendars import lifecycle as calendars
from orchestrator.database import new_guid
from orchestrator.errors import Invalid, NotFound
from orchestrator.jobs import lifecycle as jobs
from orchestrator.named import Named
from orchestrator.processes import lifecycle as processes
from orchestrator.robots.lifecycle import Digest
from orchestrator.transaction import Transaction
from orchestrator.triggers import firing, timing
from orchestrator.triggers.kind import Checked, Kind
from orchestrator.triggers.kinds import KINDS
from orchestrator.triggers.model import Firing, FiringState, Overlap, Trigger

REMEMBERED = 100  # firings whose jobs count where a trigger turns to minding overlaps

_TRIGGERS = Named(Trigger, "trigger")
existing = _TRIGGERS.existing


@dataclass
class NewTrigger:
    """When (`kind` with its `settings`, `time_zone`, `calendar`) and what, as in the order for a job."""

    name: str
    kind: str
    process: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    time_zone: str = "UTC"
    calendar: str | None = None
    on_missed: str = "once"
    missed_limit: int = 10
    on_overlap: str = "allow"
    enabled: bool = True
    version: int | None = None
    robot: str | None = field(default=None, repr=False)  # its GUID is a password
    group: str | None = None
    arguments: Any = field(default_factory=dict)
    priority: int = 0
    max_attempts: int = 1
    on_lost: str = "fail"
    max_run_seconds: int | None = None
    call_digest: str | None = None


POLICIES = ("on_missed", "missed_limit", "on_overlap")
ORDER = ("arguments", "priority", "max_attempts", "on_lost", "max_run_seconds")
PLAIN = (*POLICIES, *ORDER, "call_digest")


def create(tx: Transaction, new: NewTrigger, digest: Digest | None = None) -> str:
    """Create a trigger; return its public id. Its robot is found by its GUID too where `digest` is given."""
    _TRIGGERS.refuse_double(tx, new.name)
    checked = _kind(new.kind).check(tx, new.settings)
    public_id = new_guid()
    row = {name: getattr(new, name) for name in PLAIN} | _order(tx, new.process, new.version)
    row |= {
        "tenant_id": tx.tenant_id,
        "public_id": public_id,
        "name": new.name,
        "kind": new.kind,
        "settings": checked.settings,
        "watches": checked.watches,
        "time_zone": _zone(new.time_zone),
        "calendar_id": _calendar_id(tx, new.calendar),
        "target": jobs.find_target(tx, new.robot, new.group, digest),
        "is_enabled": new.enabled,
        "state": None,
        "created_by": str(tx.actor)[:200],
        "created_at": tx.now,
        "updated_at": tx.now,
    }
    tx.execute(insert(Trigger), row)
    _set_next_due(tx, existing(tx, public_id))
    audit.record(tx, "trigger.create", new.name, kind=new.kind)
    return public_id


def change(tx: Transaction, key: str, digest: Digest | None = None, **changes: Any) -> str:
    """Change what is named in `changes`; return the public id.

    New settings, time zone or calendar hold from now on: what was due before and has not fired is forgotten.
    """
    # The calendar before the trigger: in this order the change of a calendar locks them, too.
    calendar = {"calendar_id": _calendar_id(tx, changes["calendar"])} if "calendar" in changes else {}
    trigger = _locked(tx, key)
    if changes.get("name", trigger.name) != trigger.name:
        _TRIGGERS.refuse_double(tx, changes["name"])
    values = calendar | {name: changes[name] for name in (*PLAIN, "name") if name in changes}
    values |= _changed_order(tx, trigger, changes, digest)
    if "settings" in changes:
        checked: Checked = _kind(trigger.kind).check(tx, changes["settings"])
        values |= {"settings": checked.settings, "watches": checked.watches, "state": None}
    if "time_zone" in changes:
        values["time_zone"] = _zone(changes["time_zone"])
    if values.get("on_overlap", Overlap.ALLOW.value) != Overlap.ALLOW.value:
        _remember_jobs(tx, trigger)
    _update(tx, trigger.id, **values)
    if {"settings", "time_zone", "calendar"} & changes.keys():
        _set_next_due(tx, by_id(tx, trigger.id))
    audit.record(tx, "trigger.change", trigger.name, fields=sorted(changes))
    return str(trigger.public_id)


def enable(tx: Transaction, key: str) -> str:
    """Let it fire from now on. What was due while it was disabled is not missed."""
    trigger = _locked(tx, key)
    if not trigger.is_enabled:
        _update(tx, trigger.id, is_enabled=True)
        _set_next_due(tx, by_id(tx, trigger.id))
        audit.record(tx, "trigger.enable", trigger.name)
    return str(trigger.public_id)


def disable(tx: Transaction, key: str) -> str:
    """Let it fire no more. Firings that wait are given up; jobs that were created go on."""
    trigger = _locked(tx, key)
    if trigger.is_enabled:
        _update(tx, trigger.id, is_enabled=False, next_due=None)
        mine = update(Firing).where(Firing.trigger_id == trigger.id, Firing.tenant_id == tx.tenant_id)
        given_up = mine.where(Firing.is_open.is_(True), Firing.state == FiringState.WAITING.value)
        values = {"state": FiringState.SKIPPED.value, "is_open": False, "reason": "disabled"}
        tx.execute(given_up.values(**values))
        audit.record(tx, "trigger.disable", trigger.name)
    return str(trigger.public_id)


def remove(tx: Transaction, key: str) -> None:
    """Delete a trigger with its firings. Its jobs stay, and say in `created_by` which trigger it was."""
    trigger = _locked(tx, key)
    tx.execute(delete(Firing).where(Firing.trigger_id == trigger.id, Firing.tenant_id == tx.tenant_id))
    tx.execute(delete(Trigger).where(Trigger.id == trigger.id, Trigger.tenant_id == tx.tenant_id))
    audit.record(tx, "trigger.delete", trigger.name)


def fire_by_hand(tx: Transaction, key: str, name: str) -> str:
    """Fire now, enabled or not and whatever day it is; return the firing's key. `name` is new with each time
    that a person asks."""
    trigger = _locked(tx, key)
    audit.record(tx, "trigger.fire", trigger.name)
    due_key = f"by hand {name}"
    firing.fire(tx, trigger, due_key, tx.now, by_hand=True)
    return due_key


def calendar_changed(tx: Transaction, calendar_id: int) -> None:
    """Say anew when the calendar's triggers are due next. What is due by now is judged when it fires."""
    query = select(Trigger.id).where(Trigger.tenant_id == tx.tenant_id, Trigger.calendar_id == calendar_id)
    for trigger_id in tx.execute(query.order_by(Trigger.id)).scalars().all():
        trigger = firing.lock(tx, trigger_id)
        if trigger is not None and (trigger.next_due is None or trigger.next_due > tx.now):
            _set_next_due(tx, trigger)


def user_of_calendar(tx: Transaction, calendar_id: int) -> str | None:
    """The name of a trigger that has this calendar."""
    query = select(Trigger.name).where(Trigger.tenant_id == tx.tenant_id, Trigger.calendar_id == calendar_id)
    return tx.execute(query.limit(1)).scalar()  # type: ignore[no-any-return]


def rule_of(tx: Transaction, trigger: Any) -> timing.Rule:
    """When the trigger is due."""
    days = calendars.working_days_of(tx, trigger.calendar_id)
    return timing.Rule(KINDS[trigger.kind], trigger.settings, ZoneInfo(trigger.time_zone), days)


# Parts of a row -----------------------------------------------------------------------------------------


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise Invalid.field("kind", f"there is no kind {name!r}; there are: {', '.join(KINDS)}")
    return KINDS[name]


def _zone(name: str) -> str:
    if name not in _zone_names():
        raise Invalid.field("time_zone", f"there is no time zone {name!r}; give a name like Europe/Madrid")
    return name


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # that is another one on each machine


def _calendar_id(tx: Transaction, key: str | None) -> int | None:
    if key is None:
        return None
    try:
        return calendars.id_to_keep(tx, key)
    except NotFound as missing:
        raise Invalid.field("calendar", missing.detail) from None


def _order(tx: Transaction, process: str, version: int | None) -> dict[str, Any]:
    found = processes.find_version(tx, process, version)
    return {"process_id": found.process_id, "version": version}


def _changed_order(
    tx: Transaction, trigger: Any, changes: Mapping[str, Any], digest: Digest | None
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "process" in changes or "version" in changes:
        process = changes.get("process") or processes.name_of(tx, trigger.process_id)
        values |= _order(tx, process, changes.get("version", trigger.version))
    if "robot" in changes or "group" in changes:
        values["target"] = jobs.find_target(tx, changes.get("robot"), changes.get("group"), digest)
    return values


def _set_next_due(tx: Transaction, trigger: Any) -> None:
    due: datetime | None = None
    if trigger.is_enabled:
        due = timing.next_due(rule_of(tx, trigger), tx.now)
    _update(tx, trigger.id, next_due=due)


def _remember_jobs(tx: Transaction, trigger: Any) -> None:
    recent = select(Firing.id).where(Firing.trigger_id == trigger.id, Firing.tenant_id == tx.tenant_id)
    recent = recent.where(Firing.state == FiringState.FIRED.value).order_by(Firing.id.desc())
    ids = list(tx.execute(recent.limit(REMEMBERED)).scalars())
    again = update(Firing).where(Firing.id.in_(ids or [0]), Firing.tenant_id == tx.tenant_id)
    tx.execute(again.values(is_open=True))


def _update(tx: Transaction, trigger_id: int, **values: Any) -> None:
    mine = update(Trigger).where(Trigger.id == trigger_id, Trigger.tenant_id == tx.tenant_id)
    tx.execute(mine.values(**values, updated_at=tx.now))


# Finding ------------------------------------------------------------------------------------------------


def _locked(tx: Transaction, key: str) -> Any:
    trigger = firing.lock(tx, existing(tx, key).id)
    if trigger is None:
        raise NotFound(f"There is no trigger {key!r}.")
    return trigger


def by_id(tx: Transaction, trigger_id: int) -> Any:
    query = select(*Trigger.__table__.columns)
    return tx.execute(query.where(Trigger.id == trigger_id, Trigger.tenant_id == tx.tenant_id)).one()
