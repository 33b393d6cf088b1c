"""REST v1: semaphores, and what limits the runs of processes and of the tenant."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import WIDEST, Input, Integer, Key, Line, Name
from orchestrator.api.queries import Pages
from orchestrator.api.routes import Routes
from orchestrator.insights import limits as seen
from orchestrator.insights.limits import ProcessLimitsView, SemaphoreView, TenantLimitsView
from orchestrator.insights.paging import Page
from orchestrator.jobs import limiting
from orchestrator.limits import semaphores as verbs
from orchestrator.limits.semaphores import NewSemaphore
from orchestrator.transaction import Transaction

routes = Routes("limits")

MOST = 100_000
YEAR = 366 * 24 * 3600
Permits = Annotated[Integer, Field(ge=0, le=MOST)]
Seconds = Annotated[Integer, Field(ge=1, le=YEAR)]

Needs = Annotated[dict[Key, Annotated[Integer, Field(ge=1, le=MOST)]], Field(max_length=50)]


class SemaphoreIn(Input):
    """So many permits at once; a run holds its own for `lease_seconds` at most, where that is given."""

    name: Name
    permits: Permits
    description: Annotated[Line, Field(max_length=1000)] = ""
    lease_seconds: Seconds | None = None


class SemaphoreChange(Input):
    """What is to change; what is left out stays."""

    name: Name = ""
    permits: Permits = 0
    description: Annotated[Line, Field(max_length=1000)] = ""
    lease_seconds: Seconds | None = None


class BreakerIn(Input):
    """`failures` within `within_seconds` stop the starts; after `cooldown_seconds` one run may try."""

    failures: Annotated[Integer, Field(ge=1, le=1000)]
    within_seconds: Seconds
    cooldown_seconds: Seconds | None = None


class ProcessLimits(Input):
    """What is to change; what is left out stays. null takes a limit away."""

    semaphores: Needs = Field(default_factory=dict)
    max_concurrent: Annotated[Integer, Field(ge=0, le=WIDEST)] | None = None
    breaker: BreakerIn | None = None


class TenantLimits(Input):
    max_concurrent: Annotated[Integer, Field(ge=0, le=WIDEST)] | None


@routes.post("/semaphores", Policy.OPERATOR, body=SemaphoreIn, answer=SemaphoreView, status=201)
def create_semaphore(call: Call, body: SemaphoreIn) -> Response:
    """Create a semaphore."""
    new = NewSemaphore(**dict(body))

    def work(tx: Transaction) -> SemaphoreView:
        return seen.one(tx, verbs.create(tx, new))

    return call.write(work)


@routes.get("/semaphores", Policy.VIEWER, query=Pages, answer=Page[SemaphoreView])
def list_semaphores(call: Call, query: Pages) -> Response:
    """List semaphores, newest first."""
    return call.read(lambda tx: seen.listed(tx, query.limit, query.cursor))


@routes.get("/semaphores/<semaphore>", Policy.VIEWER, answer=SemaphoreView)
def get_semaphore(call: Call, semaphore: str) -> Response:
    """Get a semaphore by its id or name, with who holds its permits."""
    return call.read(lambda tx: seen.one(tx, semaphore))


@routes.patch("/semaphores/<semaphore>", Policy.OPERATOR, body=SemaphoreChange, answer=SemaphoreView)
def change_semaphore(call: Call, semaphore: str, body: SemaphoreChange) -> Response:
    """Change a semaphore.

    Fewer permits throw nobody out: none is given until as many have come back.
    """
    changes = _given(body)
    return call.write(lambda tx: seen.one(tx, limiting.change_semaphore(tx, semaphore, **changes)))


@routes.delete("/semaphores/<semaphore>", Policy.OPERATOR, status=204)
def delete_semaphore(call: Call, semaphore: str) -> Response:
    """Delete a semaphore that no process requires and no run holds."""
    return call.write(lambda tx: verbs.remove(tx, semaphore))


@routes.get("/processes/<process>/limits", Policy.VIEWER, answer=ProcessLimitsView)
def get_process_limits(call: Call, process: str) -> Response:
    """Say what limits a process's runs, and whether its breaker is open."""
    return call.read(lambda tx: seen.of_process(tx, process))


@routes.patch("/processes/<process>/limits", Policy.OPERATOR, body=ProcessLimits, answer=ProcessLimitsView)
def change_process_limits(call: Call, process: str, body: ProcessLimits) -> Response:
    """Change what limits a process's runs.

    `semaphores` replaces all that were required. Runs under way are counted, and none of them is stopped.
    """
    changes = _given(body)
    if body.breaker is not None:
        changes["breaker"] = dict(body.breaker)

    def work(tx: Transaction) -> ProcessLimitsView:
        limiting.limit_process(tx, process, **changes)
        return seen.of_process(tx, process)

    return call.write(work)


@routes.post("/processes/<process>/breaker/close", Policy.OPERATOR, answer=ProcessLimitsView)
def close_breaker(call: Call, process: str) -> Response:
    """Close a process's breaker: its jobs may begin again."""

    def work(tx: Transaction) -> ProcessLimitsView:
        limiting.close_breaker(tx, process)
        return seen.of_process(tx, process)

    return call.write(work)


@routes.get("/limits", Policy.VIEWER, answer=TenantLimitsView)
def get_limits(call: Call) -> Response:
    """Say how many runs of the tenant may go on at once, and how many do."""
    return call.read(seen.of_tenant)


@routes.patch("/limits", Policy.ADMIN, body=TenantLimits, answer=TenantLimitsView)
def change_limits(call: Call, body: TenantLimits) -> Response:
    """Change how many runs of the tenant may go on at once; null: any number."""

    def work(tx: Transaction) -> TenantLimitsView:
        limiting.limit_tenant(tx, body.max_concurrent)
        return seen.of_tenant(tx)

    return call.write(work)


def _given(body: Input) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.model_fields_set}
