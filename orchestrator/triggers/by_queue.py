"""Triggers by queue: jobs as soon as enough resources can be taken, and no more jobs at once than allowed.

A job that has not ended and holds no resource of the queue at the moment is taken to be about to take some:
it stands for as many of those that wait as a job is for, and only what is beyond that calls for another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import structlog
from pydantic import Field, ValidationError
from sqlalchemy import bindparam, func, select, true

from orchestrator.calendars import lifecycle as calendars
from orchestrator.errors import Invalid, NotFound
from orchestrator.jobs.model import Job
from orchestrator.jobs.states import TERMINAL, Status
from orchestrator.resources import backlog, queues
from orchestrator.resources.backlog import Count
from orchestrator.resources.conditions import Condition
from orchestrator.resources.model import Resource
from orchestrator.runs.model import Run
from orchestrator.transaction import Transaction
from orchestrator.triggers import firing
from orchestrator.triggers.kind import Checked, Kind, Settings, read
from orchestrator.triggers.model import Firing, FiringState, Overlap, Trigger
from orchestrator.triggers.wake_ups import queue_watch

log = structlog.get_logger(__name__)

KIND = "queue"
TRIGGERS_AT_ONCE = 1000
ENDED = frozenset(status.value for status in TERMINAL)
# Jobs that fail one after the other without having taken anything would follow each other without end.
FAILURES_AT_ONCE = 2
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=10)
REMEMBERED = 10


class QueueSettings(Settings):
    """A job for each `min_resources` that can be taken and fit `where`, and at most `max_jobs` at once; one
    job also for fewer, once the oldest of them has waited for `max_age_seconds`."""

    queue: Annotated[str, Field(min_length=1, max_length=200)]
    where: dict[str, Any] = Field(default_factory=dict)
    min_resources: Annotated[int, Field(ge=1, le=10_000)] = 1
    max_jobs: Annotated[int, Field(ge=1, le=1000)] = 1
    max_age_seconds: Annotated[int, Field(ge=1, le=366 * 24 * 3600)] | None = None


def check(tx: Transaction, given: Mapping[str, Any]) -> Checked:
    settings = read(QueueSettings, given)
    condition = Condition.read(settings.where, "settings.where")
    if condition.names("status"):
        raise Invalid.field("settings.where", "leave the status out: it is about New resources")
    try:
        queue = queues.existing(tx, settings.queue)
    except NotFound as missing:
        raise Invalid.field("settings.queue", missing.detail) from None
    return Checked(settings.model_dump(exclude_defaults=True), queue_watch(queue.id))


QUEUE = Kind(KIND, check)


@dataclass(frozen=True)
class Rule:
    """A trigger by queue, as a look needs it."""

    trigger: Any
    settings: QueueSettings
    condition: Condition

    @classmethod
    def of(cls, trigger: Any) -> Rule:
        settings = QueueSettings.model_validate(trigger.settings)
        return cls(trigger, settings, Condition.read(settings.where))

    @property
    def queue_id(self) -> int:
        return int(str(self.trigger.watches).removeprefix("queue:"))


@dataclass(frozen=True)
class Crew:
    """The jobs of a trigger that have not ended: those that hold a resource of the queue, and those that do
    not. `done` are firings of which no job is left."""

    busy: int = 0
    idle: int = 0
    done: Sequence[int] = field(default_factory=tuple)

    @property
    def size(self) -> int:
        return self.busy + self.idle


def rules(tx: Transaction) -> list[Rule]:
    """Every enabled trigger by queue, of all tenants, but those whose settings this version cannot read."""
    query = select(*Trigger.__table__.columns).where(Trigger.kind == KIND, Trigger.is_enabled == true())
    found = []
    for row in tx.execute(query.order_by(Trigger.id).limit(TRIGGERS_AT_ONCE)).all():
        try:
            found.append(Rule.of(row))
        except (ValidationError, Invalid) as error:
            log.warning("trigger_not_read", trigger=row.id, error=str(error)[:200])
    return found


# Looking ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What a look came to: so many jobs are wanted; `count` is where the next look goes on, or whole."""

    wanted: int
    count: Count


def look(tx: Transaction, rule: Rule, begun: Count | None = None) -> Look:
    """How many jobs the trigger wants now. Reads only: `fire` looks again under the trigger's lock."""
    own = firing.of_trigger(tx, rule.trigger)
    crew = crew_of(own, rule)
    room = room_for(rule, crew)
    if room <= 0:
        return Look(0, Count(is_whole=True))
    count = backlog.count(own, rule.queue_id, rule.condition, _enough(rule, room, crew), begun)
    return Look(jobs_wanted(rule, crew, room, count, own.now), count)


def room_for(rule: Rule, crew: Crew) -> int:
    """How many more jobs there may be at once."""
    if rule.trigger.on_overlap != Overlap.ALLOW and crew.size:
        return 0
    return rule.settings.max_jobs - crew.size


def _enough(rule: Rule, room: int, crew: Crew) -> int:
    """Counting further would change nothing."""
    return rule.settings.min_resources * (room + crew.idle)


def jobs_wanted(rule: Rule, crew: Crew, room: int, count: Count, now: datetime) -> int:
    """For what waits beyond what the idle of the crew are expected to take, within the room there is."""
    called_for = count.found // rule.settings.min_resources
    if called_for == 0 and count.is_whole and _is_aged(rule, count, now):
        called_for = 1
    return max(min(called_for - crew.idle, room), 0)


def _is_aged(rule: Rule, count: Count, now: datetime) -> bool:
    """Whether the oldest has waited too long, and since the latest job was created for it, too."""
    if rule.settings.max_age_seconds is None or count.oldest is None:
        return False
    since = max(count.oldest, rule.trigger.last_fired_at or count.oldest)
    return now - since >= timedelta(seconds=rule.settings.max_age_seconds)


# The jobs that it has -----------------------------------------------------------------------------------

_OPEN = select(Firing.id, Firing.jobs).where(
    Firing.trigger_id == bindparam("p_trigger_id"),
    Firing.tenant_id == bindparam("p_tenant_id"),
    Firing.is_open == true(),
    Firing.state == FiringState.FIRED.value,
)
_JOBS = select(Job.id, Job.guid, Job.status).where(
    Job.tenant_id == bindparam("p_tenant_id"), Job.guid.in_(bindparam("p_guids", expanding=True))
)
_HOLDERS = (
    select(func.count(Run.job_id.distinct()))
    .join(Resource, Resource.taken_by == Run.id)
    .where(
        Run.job_id.in_(bindparam("p_job_ids", expanding=True)),
        Run.ended_at.is_(None),
        Resource.queue_id == bindparam("p_queue_id"),
    )
)


def crew_of(tx: Transaction, rule: Rule) -> Crew:
    open_firings = tx.execute(_OPEN, {"p_trigger_id": rule.trigger.id, "p_tenant_id": tx.tenant_id}).all()
    guids = [guid for row in open_firings for guid in row.jobs]
    if not guids:
        return Crew(done=tuple(row.id for row in open_firings))
    found = tx.execute(_JOBS, {"p_tenant_id": tx.tenant_id, "p_guids": guids}).all()
    living = {job.guid: job for job in found if job.status not in ENDED}
    done = tuple(row.id for row in open_firings if not any(guid in living for guid in row.jobs))
    begun = [job.id for job in living.values() if job.status >= Status.PENDING]
    asked = {"p_job_ids": begun or [0], "p_queue_id": rule.queue_id}
    busy = int(tx.execute(_HOLDERS, asked).scalar_one()) if begun else 0
    return Crew(busy, len(living) - busy, done)


# Firing -------------------------------------------------------------------------------------------------


def fire(tx: Transaction, trigger_id: int, count: Count) -> int:
    """Create the jobs that are wanted; how many.

    Under the trigger's lock everything is looked at again: whoever comes second finds the first one's jobs.
    A count by a condition, which may have taken several looks, is believed.
    """
    row = firing.lock(tx, trigger_id)
    if row is None or not row.is_enabled or row.kind != KIND:
        return 0
    rule = Rule.of(row)
    own = firing.of_trigger(tx, row)
    crew = crew_of(own, rule)
    firing.close(own, crew.done)
    room = room_for(rule, crew)
    if room <= 0 or _is_day_off(own, row) or own.now < _paused_until(own, row):
        return 0
    if not rule.condition.clauses and not rule.condition.alternatives:
        count = backlog.count(own, rule.queue_id, rule.condition, _enough(rule, room, crew))
    wanted = jobs_wanted(rule, crew, room, count, own.now)
    if wanted == 0:
        return 0
    state = firing.fire(own, row, f"after {_latest(own, row)}", own.now, job_count=wanted)
    return wanted if state is FiringState.FIRED else 0


def _latest(tx: Transaction, trigger: Any) -> int:
    """The firing before this one: under the trigger's lock, a number that no other firing follows."""
    query = select(func.max(Firing.id)).where(Firing.trigger_id == trigger.id)
    return tx.execute(query.where(Firing.tenant_id == tx.tenant_id)).scalar() or 0


def _is_day_off(tx: Transaction, trigger: Any) -> bool:
    days = calendars.working_days_of(tx, trigger.calendar_id)
    return (
        days is not None and days.why_off(tx.now.astimezone(ZoneInfo(trigger.time_zone)).date()) is not None
    )


def _paused_until(tx: Transaction, trigger: Any) -> datetime:
    """When jobs may follow the latest ones, if these ended one after the other without success."""
    ends = list(_failures(tx, trigger))
    if len(ends) < FAILURES_AT_ONCE:
        return tx.now
    pause: timedelta = min(FIRST_PAUSE * 2 ** (len(ends) - FAILURES_AT_ONCE), LONGEST_PAUSE)
    return max(ends) + pause


def _failures(tx: Transaction, trigger: Any) -> Iterator[datetime]:
    """When each of the latest firings came to nothing, up to the latest that did not."""
    query = select(Firing.state, Firing.created_at, Firing.jobs).where(
        Firing.trigger_id == trigger.id, Firing.tenant_id == tx.tenant_id
    )
    ended = select(Job.status, Job.finished_at)
    for row in tx.execute(query.order_by(Firing.id.desc()).limit(REMEMBERED)).all():
        if row.state == FiringState.FAILED:
            yield row.created_at
            continue
        mine = ended.where(Job.tenant_id == tx.tenant_id, Job.guid.in_(row.jobs or [""]))
        jobs = tx.execute(mine).all()
        if any(job.status not in ENDED for job in jobs):
            continue
        if not jobs or any(job.status == Status.SUCCESS for job in jobs):
            return
        yield max(job.finished_at for job in jobs)
