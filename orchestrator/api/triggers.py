"""REST v1: triggers and their firings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import WIDEST, Input, Integer, Key, Name
from orchestrator.api.idempotency import Minted
from orchestrator.api.jobs import LONGEST_RUN
from orchestrator.api.queries import Pages, Text, Truth
from orchestrator.api.routes import Routes
from orchestrator.database import new_guid
from orchestrator.insights import triggers as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.triggers import FiringView, Trial, TriggerView
from orchestrator.transaction import Transaction
from orchestrator.triggers import lifecycle as verbs
from orchestrator.triggers.by_call import CALL, secret_of
from orchestrator.triggers.lifecycle import NewTrigger

routes = Routes("triggers")

Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "queue"]
ZoneName = Annotated[str, Field(min_length=1, max_length=64)]
Limit = Annotated[Integer, Field(ge=1, le=100)]
Version = Annotated[Integer, Field(ge=1, le=WIDEST)]
Group = Annotated[str, Field(min_length=1, max_length=100)]
Priority = Annotated[Integer, Field(ge=0, le=100)]
Attempts = Annotated[Integer, Field(ge=1, le=1000)]
Seconds = Annotated[Integer, Field(ge=1, le=LONGEST_RUN)]


class TriggerIn(Input):
    """When: `kind` with its `settings` (cron: `expression`; interval: `seconds`, `starts_at`; once: `at`;
    queue: `queue`, `where`, `min_resources`, `max_jobs`, `max_age_seconds`; job_end: `process`, `states`;
    call: `calls_per_minute`), in `time_zone`, but on no day without work of `calendar`. What: as in the
    order for a job."""

    name: Name
    kind: Annotated[str, Field(min_length=1, max_length=20)]
    settings: dict[str, Any] = Field(default_factory=dict)
    time_zone: ZoneName = "UTC"
    calendar: Key | None = None
    on_missed: Missed = "once"
    missed_limit: Limit = 10
    on_overlap: Overlap = "allow"
    enabled: bool = True
    process: Key
    version: Version | None = None
    robot: Key | None = None
    group: Group | None = None
    arguments: Any = Field(default_factory=dict)
    priority: Priority = 0
    max_attempts: Attempts = 1
    on_lost: Literal["fail", "requeue"] = "fail"
    max_run_seconds: Seconds | None = None


class TriggerChange(Input):
    """What is to change; what is left out stays. `settings` are given whole, `robot` and `group` together."""

    name: Name = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    time_zone: ZoneName = "UTC"
    calendar: Key | None = None
    on_missed: Missed = "once"
    missed_limit: Limit = 10
    on_overlap: Overlap = "allow"
    process: Key = ""
    version: Version | None = None
    robot: Key | None = None
    group: Group | None = None
    arguments: Any = Field(default_factory=dict)
    priority: Priority = 0
    max_attempts: Attempts = 1
    on_lost: Literal["fail", "requeue"] = "fail"
    max_run_seconds: Seconds | None = None


class TriggerFilters(Pages):
    kind: Text | None = None
    enabled: Truth | None = None


class FiringFilters(Pages):
    state: Text | None = None


class TrialIn(Input):
    """`count` due times are told; with `fire` it fires now, whatever day it is."""

    count: Annotated[Integer, Field(ge=1, le=100)] = 5
    fire: bool = False


@dataclass(frozen=True)
class NewTriggerView(TriggerView):
    """A trigger by call. `secret` is told this once."""

    secret: str


@routes.post("/triggers", Policy.OPERATOR, body=TriggerIn, answer=NewTriggerView | TriggerView, status=201)
def create_trigger(call: Call, body: TriggerIn) -> Response:
    """Create a trigger. One by call is told its secret, in this answer and in no other."""
    if body.kind != CALL.name:
        new = NewTrigger(**dict(body))
        return call.write(lambda tx: seen.named(tx, verbs.create(tx, new, call.digest)))
    minted = Minted.by(call.parts.config, "secret", secret_of)
    called = NewTrigger(**dict(body), call_digest=call.digest(minted.value))

    def work(tx: Transaction) -> NewTriggerView:
        made = seen.named(tx, verbs.create(tx, called, call.digest))
        return NewTriggerView(**vars(made), secret=minted.value)

    return call.write(work, minted=minted)


@routes.get("/triggers", Policy.VIEWER, query=TriggerFilters, answer=Page[TriggerView])
def list_triggers(call: Call, query: TriggerFilters) -> Response:
    """List triggers, newest first."""
    return call.read(lambda tx: seen.listed(tx, query.kind, query.enabled, query.limit, query.cursor))


@routes.get("/triggers/<trigger>", Policy.VIEWER, answer=TriggerView)
def get_trigger(call: Call, trigger: str) -> Response:
    """Get a trigger by its id or name."""
    return call.read(lambda tx: seen.named(tx, trigger))


@routes.patch("/triggers/<trigger>", Policy.OPERATOR, body=TriggerChange, answer=TriggerView)
def change_trigger(call: Call, trigger: str, body: TriggerChange) -> Response:
    """Change a trigger. New settings, time zone or calendar hold from now on."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return call.write(lambda tx: seen.named(tx, verbs.change(tx, trigger, call.digest, **changes)))


@routes.delete("/triggers/<trigger>", Policy.OPERATOR, status=204)
def delete_trigger(call: Call, trigger: str) -> Response:
    """Delete a trigger and what is known of its firings. Its jobs stay."""
    return call.write(lambda tx: verbs.remove(tx, trigger))


@routes.post("/triggers/<trigger>/enable", Policy.OPERATOR, answer=TriggerView)
def enable_trigger(call: Call, trigger: str) -> Response:
    """Let a trigger fire from now on. What was due while it was disabled is not missed."""
    return call.write(lambda tx: seen.named(tx, verbs.enable(tx, trigger)))


@routes.post("/triggers/<trigger>/disable", Policy.OPERATOR, answer=TriggerView)
def disable_trigger(call: Call, trigger: str) -> Response:
    """Let a trigger fire no more. Firings that wait are given up; jobs that were created go on."""
    return call.write(lambda tx: seen.named(tx, verbs.disable(tx, trigger)))


@routes.post("/triggers/<trigger>/test", Policy.OPERATOR, body=TrialIn, answer=Trial)
def test_trigger(call: Call, trigger: str, body: TrialIn) -> Response:
    """Tell when a trigger is due next, and which days are left out and why. Creates nothing, or, with
    `fire`, fires now."""
    name = new_guid()

    def work(tx: Transaction) -> Trial:
        fired = None
        if body.fire:
            fired = seen.firing(tx, trigger, verbs.fire_by_hand(tx, trigger, name))
        return Trial(seen.coming(tx, trigger, body.count), fired)

    return call.write(work)


@routes.get("/triggers/<trigger>/firings", Policy.VIEWER, query=FiringFilters, answer=Page[FiringView])
def list_firings(call: Call, trigger: str, query: FiringFilters) -> Response:
    """List the firings of a trigger, newest first: what each was due for, and what came of it."""
    return call.read(lambda tx: seen.firings(tx, trigger, query.state, query.limit, query.cursor))
