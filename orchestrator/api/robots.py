"""REST v1: robots."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Guid, Input, Line, Name
from orchestrator.api.idempotency import Minted
from orchestrator.api.queries import Number, Pages, Text, Truth
from orchestrator.api.routes import Routes
from orchestrator.errors import Invalid
from orchestrator.insights import robots as seen
from orchestrator.insights.paging import Page
from orchestrator.insights.robots import RobotView
from orchestrator.robots import lifecycle as verbs
from orchestrator.robots.lifecycle import NewRobot
from orchestrator.transaction import Transaction

routes = Routes("robots")

GroupName = Annotated[Name, Field(max_length=100)]
Kind = Literal["unattended", "attended"]


class RobotIn(Input):
    """`guid` is for robots that keep the one they had elsewhere; the server chooses one where it is left
    out. `node` is the worker node that opens the robot's sessions, `account` its login there."""

    name: Name
    kind: Kind = "unattended"
    group: GroupName | None = None
    node: Annotated[Line, Field(max_length=120)] = ""
    account: Annotated[Line, Field(max_length=120)] = ""
    guid: Guid | None = None


class RobotChange(Input):
    """What is left out stays; `group` null takes the robot out of its group."""

    name: Name | None = None
    kind: Kind | None = None
    group: GroupName | None = None
    node: Annotated[Line, Field(max_length=120)] | None = None
    account: Annotated[Line, Field(max_length=120)] | None = None

    def changes(self) -> dict[str, Any]:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        nulls = [name for name, value in given.items() if value is None and name != "group"]
        if nulls:
            raise Invalid.field(nulls[0], "it must not be null; leave it out to keep it")
        if not given:
            raise Invalid.field("body", "it changes nothing; name at least one field")
        return given


class RobotFilters(Pages):
    name: Text | None = None
    kind: Kind | None = None
    group: Text | None = None
    status: Annotated[Number, Field(ge=0, le=3)] | None = None
    state: Literal["Disconnected", "Unlicensed", "Ready", "Working"] | None = None
    paused: Truth | None = None
    node: Text | None = None
    machine: Text | None = None
    ip: Text | None = None
    mac: Text | None = None


@dataclass(frozen=True)
class Secret:
    """The robot's secret, told this once: it sends `GUID:secret` from now on."""

    id: str
    secret: str


@routes.post("/robots", Policy.OPERATOR, body=RobotIn, answer=RobotView, status=201)
def create_robot(call: Call, body: RobotIn) -> Response:
    """Create a robot.

    Its GUID is in this answer and in no other: whoever knows it speaks for the robot.
    """
    minted = Minted.by(
        call.parts.config, "guid", lambda key: str(uuid.UUID(bytes=key[:16], version=4)), body.guid or ""
    )
    new = NewRobot(body.name, body.kind, body.group, body.node, body.account, minted.value)

    def work(tx: Transaction) -> RobotView:
        made = verbs.create(tx, new, call.digest)
        view = seen.named(tx, made, call.digest, call.parts.presence)
        return replace(view, guid=new.guid)

    return call.write(work, minted=minted)


@routes.get("/robots", Policy.VIEWER, query=RobotFilters, answer=Page[RobotView])
def list_robots(call: Call, query: RobotFilters) -> Response:
    """List robots, newest first."""
    filters = seen.Filters(**query.chosen())
    return call.read(lambda tx: seen.listed(tx, filters, query.limit, query.cursor, call.parts.presence))


@routes.get("/robots/<robot>", Policy.VIEWER, answer=RobotView)
def get_robot(call: Call, robot: str) -> Response:
    """Get one robot by id, name or GUID."""
    return call.read(lambda tx: seen.named(tx, robot, call.digest, call.parts.presence))


@routes.patch("/robots/<robot>", Policy.OPERATOR, body=RobotChange, answer=RobotView)
def change_robot(call: Call, robot: str, body: RobotChange) -> Response:
    """Change a robot's name, kind, group, node or account."""
    changes = body.changes()
    return _changed(call, robot, lambda tx, key: verbs.change(tx, key, **changes))


@routes.delete("/robots/<robot>", Policy.ADMIN, status=204)
def delete_robot(call: Call, robot: str) -> Response:
    """Delete a robot, unless it has a job in progress."""

    def work(tx: Transaction) -> None:
        key = verbs.existing(tx, robot, call.digest).public_id
        verbs.delete(tx, key, lambda robot_id: seen.has_live_job(tx, robot_id))

    return call.write(work)


@routes.post("/robots/<robot>/pause", Policy.OPERATOR, answer=RobotView)
def pause_robot(call: Call, robot: str) -> Response:
    """Give the robot no new job. A job that it has goes on."""
    return _changed(call, robot, verbs.pause)


@routes.post("/robots/<robot>/resume", Policy.OPERATOR, answer=RobotView)
def resume_robot(call: Call, robot: str) -> Response:
    """Give a paused robot jobs again."""
    return _changed(call, robot, verbs.resume)


@routes.post("/robots/<robot>/secret", Policy.ADMIN, answer=Secret)
def set_robot_secret(call: Call, robot: str) -> Response:
    """Give the robot a new secret, and refuse its GUID alone from now on.

    The secret is in this answer and in no other.
    """
    minted = Minted.by(
        call.parts.config, "secret", lambda key: base64.urlsafe_b64encode(key).decode().rstrip("=")
    )

    def work(tx: Transaction) -> Secret:
        key = verbs.existing(tx, robot, call.digest).public_id
        verbs.set_secret(tx, key, minted.value, call.digest)
        return Secret(key, minted.value)

    return call.write(work, minted=minted)


def _changed(call: Call, robot: str, verb: Any) -> Response:
    def work(tx: Transaction) -> RobotView:
        key = verbs.existing(tx, robot, call.digest).public_id
        verb(tx, key)
        return seen.named(tx, key, call.digest, call.parts.presence)

    return call.write(work)
