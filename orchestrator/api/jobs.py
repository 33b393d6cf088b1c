"""REST v1: jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import WIDEST, Input, Integer, Key, Moment
from orchestrator.api.operation import OneOrMany
from orchestrator.api.queries import Number, Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.database import new_guid
from orchestrator.insights import explain
from orchestrator.insights import jobs as seen
from orchestrator.insights.explain import Explanation
from orchestrator.insights.jobs import JobEvent, JobView
from orchestrator.insights.paging import Page
from orchestrator.jobs import lifecycle as verbs
from orchestrator.jobs.lifecycle import JOBS_IN_ONE_REQUEST, NewJob
from orchestrator.transaction import Transaction

routes = Routes("jobs")

StateName = Literal[
    "Created",
    "Pending",
    "Aborting",
    "Aborted",
    "Success",
    "Failed",
    "Stopping",
    "Stopped",
    "In_Progress",
]
LONGEST_RUN = 366 * 24 * 3600


class JobIn(Input):
    """An order for a run. Give `robot` (its id, name or GUID), or `group`, or neither for any robot.

    With `resource`, the run has that resource as its input, and the resource goes the way of the run.
    """

    process: Key
    version: Annotated[Integer, Field(ge=1, le=WIDEST)] | None = None
    robot: Key | None = None
    group: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    resource: Key | None = None
    arguments: Any = Field(default_factory=dict)
    priority: Annotated[Integer, Field(ge=0, le=100)] = 0
    not_before: Moment | None = None
    max_attempts: Annotated[Integer, Field(ge=1, le=1000)] = 1
    on_lost: Literal["fail", "requeue"] = "fail"
    max_run_seconds: Annotated[Integer, Field(ge=1, le=LONGEST_RUN)] | None = None


class JobFilters(Pages):
    """`robot` (its id, name or GUID) finds what it has, had or was asked for; times compare with the time of
    creation."""

    status: Annotated[Number, Field(ge=0, le=8)] | None = None
    state: StateName | None = None
    process: Text | None = None
    version: Annotated[Number, Field(ge=1, le=WIDEST)] | None = None
    robot: Text | None = None
    group: Text | None = None
    priority: Annotated[Number, Field(ge=0, le=100)] | None = None
    attempt: Annotated[Number, Field(ge=1, le=WIDEST)] | None = None
    retry_of: Text | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


@dataclass(frozen=True)
class Jobs:
    items: list[JobView]


@dataclass(frozen=True)
class History:
    items: list[JobEvent]


@routes.post(
    "/jobs",
    Policy.OPERATOR,
    body=OneOrMany(JobIn, JOBS_IN_ONE_REQUEST),
    answer=JobView | Jobs,
    status=201,
)
def create_jobs(call: Call, body: list[JobIn]) -> Response:
    """Create a job, or a list of up to 1,000: all of them or none.

    An object is answered with the job, a list with `items` in the same order.
    """
    orders = [NewJob(**{name: getattr(order, name) for name in JobIn.model_fields}) for order in body]

    def work(tx: Transaction) -> JobView | Jobs:
        made = seen.created(tx, verbs.create(tx, orders, call.digest))
        return Jobs(made) if call.is_list else made[0]

    return call.write(work)


@routes.get("/jobs", Policy.VIEWER, query=JobFilters, answer=Page[JobView])
def list_jobs(call: Call, query: JobFilters) -> Response:
    """List jobs, newest first."""
    filters = seen.Filters(**query.chosen())
    return call.read(lambda tx: seen.listed(tx, filters, query.limit, query.cursor, call.digest))


@routes.get("/jobs/<job>", Policy.VIEWER, answer=JobView)
def get_job(call: Call, job: str) -> Response:
    """Get one job by its GUID."""
    return call.read(lambda tx: seen.one(tx, job))


@routes.post("/jobs/<job>/stop", Policy.OPERATOR, answer=JobView)
def stop_job(call: Call, job: str) -> Response:
    """Ask for a clean end: a waiting job is cancelled, a running one told at its next heartbeat."""
    return _changed(call, job, verbs.stop)


@routes.post("/jobs/<job>/abort", Policy.OPERATOR, answer=JobView)
def abort_job(call: Call, job: str) -> Response:
    """Ask for a hard end: a waiting job is cancelled, a running one killed at its next heartbeat."""
    grace = timedelta(seconds=call.parts.config.abort_grace_seconds)
    return _changed(call, job, lambda tx, guid: verbs.abort(tx, guid, grace))


@routes.post("/jobs/<job>/retry", Policy.OPERATOR, answer=JobView, status=201)
def retry_job(call: Call, job: str) -> Response:
    """Create a new job like an ended one, which it names in `retry_of`."""
    new = new_guid()
    return call.write(lambda tx: seen.one(tx, verbs.retry(tx, seen.found(tx, job).guid, new)))


@routes.get("/jobs/<job>/explain", Policy.VIEWER, answer=Explanation)
def explain_job(call: Call, job: str) -> Response:
    """Say why the job is where it is, as codes for programs and sentences for people."""
    return call.read(lambda tx: explain.job(tx, job, call.parts.presence))


@routes.get("/jobs/<job>/history", Policy.VIEWER, answer=History)
def get_job_history(call: Call, job: str) -> Response:
    """Get every state, attempt, robot, fence and reason of a job, in order."""
    return call.read(lambda tx: History(seen.history(tx, job)))


def _changed(call: Call, job: str, verb: Any) -> Response:
    def work(tx: Transaction) -> JobView:
        guid = seen.found(tx, job).guid
        verb(tx, guid)
        return seen.one(tx, guid)

    return call.write(work)
