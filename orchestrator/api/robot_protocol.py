"""The robot protocol: heartbeat, consumeNextJob, job/update (Sherpa's Python framework document).

Plain Flask views: these are the hottest requests, and their errors have the protocol's own fields.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, request
from redis import RedisError
from werkzeug.exceptions import RequestEntityTooLarge

from orchestrator import errors
from orchestrator.api import robot_fields
from orchestrator.api.auth import Policy, allow
from orchestrator.api.robot_answers import BLANK, UPDATE, answer, consume_answer, heartbeat_answer, refusal
from orchestrator.api.robot_fields import Credentials, Fields
from orchestrator.api.steady_heartbeat import SteadyHeartbeat
from orchestrator.api.unknown_callers import UnknownCallers
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.jobs import announcements, consume, heartbeat, report
from orchestrator.jobs.consume import Consumed
from orchestrator.processes import lifecycle as processes
from orchestrator.robots import doubles
from orchestrator.robots.doubles import InUse
from orchestrator.robots.model import RobotStatus
from orchestrator.robots.presence import Presence
from orchestrator.sessions.credentials import authenticate
from orchestrator.transaction import SYSTEM, SYSTEM_TENANT, Actor, Transaction
from orchestrator.wiring import Parts

Result = TypeVar("Result")
CODE_ROBOT_NOT_FOUND = 101
STRANGERS_BYTES = 64 * 1024


class UnknownRobot(errors.BotswainError):
    """No robot with this GUID is known here"""

    code = "robot_not_found"


def register(app: Flask, parts: Parts, room: WaitingRoom) -> None:
    steady = SteadyHeartbeat(app.wsgi_app, parts, room)
    app.wsgi_app = steady  # type: ignore[method-assign]
    app.register_blueprint(_blueprint(parts, steady))


def _blueprint(parts: Parts, steady: SteadyHeartbeat) -> Blueprint:
    blueprint = Blueprint("robot_protocol", __name__)
    unknown = UnknownCallers(parts.redis)

    def as_robot(work: Callable[[Transaction, Any], Result], *, lock: bool = False) -> Result:
        """Run `work` in a transaction as the robot that the Authorization header names."""
        credentials = Credentials.read(request.headers.get("Authorization"))
        guid_digest = parts.config.digest(credentials.guid)
        secret_digest = parts.config.digest(credentials.secret) if credentials.secret else ""

        def unit(tx: Transaction) -> Result:
            robot = authenticate(tx, guid_digest, lock=lock)
            if robot is None or not hmac.compare_digest(robot.secret_digest or secret_digest, secret_digest):
                raise UnknownRobot
            tx.tenant_id = robot.tenant_id
            tx.actor = Actor("robot", robot.name, robot.id)
            return work(tx, robot)

        return parts.transactions.run(unit, tenant_id=SYSTEM_TENANT, actor=SYSTEM)

    def own_fields(robot: Any) -> Fields:
        """The body's fields, whose RobotGUID, where it is named, must be the caller's own."""
        given = Fields.read(request.get_data(), request.content_type or "")
        named = given.guid("RobotGUID")
        if named and not hmac.compare_digest(parts.config.digest(named), robot.guid_digest):
            raise errors.Forbidden("RobotGUID: a robot may only speak for itself.")
        return given

    def refuse_second(tx: Transaction, robot: Any, given: Fields) -> None:
        """While the first has a job, a second program is handed nothing, and its word does not count."""
        program = robot_fields.program(given)
        if doubles.is_second(tx, robot, program, parts.run_lease) and heartbeat.has_job(tx, robot):
            raise InUse(robot)

    @blueprint.post("/api/robot/heartbeat")
    @allow(Policy.OWN)
    def beat() -> Response:
        def work(tx: Transaction, robot: Any) -> tuple[Any, str, heartbeat.Beat, float, heartbeat.Answer]:
            given = own_fields(robot)
            told, wait = robot_fields.heartbeat(given)
            said = heartbeat.beat(tx, robot, told, parts.run_lease)
            return robot, given.text("RobotGUID"), told, wait, said

        robot, named, told, wait, said = as_robot(work)
        familiar = announcements.familiar(robot)
        steady.remember(request.headers["Authorization"], named, familiar)
        if wait and told.status == RobotStatus.READY and not said.has_new_job and not said.code:
            said_later = steady.wait(familiar, announcements.place(told), wait)
            return heartbeat_answer(0, "", said_later)
        return heartbeat_answer(said.code, said.text, said.has_new_job)

    @blueprint.post("/api/robot/consumeNextJob")
    @allow(Policy.OWN)
    def consume_next_job() -> Response:
        def work(tx: Transaction, robot: Any) -> tuple[Consumed, Any, LineMarks]:
            given = own_fields(robot)
            status = given.number("Status", RobotStatus.DISCONNECTED, RobotStatus.WORKING)
            refuse_second(tx, robot, given)
            marks = LineMarks.read(parts.presence, robot)  # before the look at SQL
            consumed = consume.consume(tx, robot, status, parts.run_lease)
            if consumed.job is not None:
                doubles.own(tx, robot, robot_fields.program(given), 2 * parts.run_lease)
            version = _version(tx, consumed.job.process_version_id) if consumed.job is not None else None
            return consumed, version, marks

        consumed, version, marks = as_robot(work, lock=True)
        marks.clear(parts.presence, consumed.empty_targets)
        return consume_answer(consumed, version, request.host_url)

    @blueprint.put(UPDATE)
    @allow(Policy.OWN)
    def update_job() -> Response:
        def work(tx: Transaction, robot: Any) -> tuple[str, int]:
            given = own_fields(robot)
            told = robot_fields.report(given)
            refuse_second(tx, robot, given)
            return told.guid, report.report(tx, robot, told)

        guid, status = as_robot(work)
        return answer({"guid": guid, "status": int(status), "ErrorText": ""})

    @blueprint.errorhandler(UnknownRobot)
    def not_found(error: UnknownRobot) -> Response:
        address = request.remote_addr or ""
        if unknown.too_many(address):
            return _stranger(429, "Too many unknown GUIDs; slow down.", 30)
        return _stranger(404 if request.path == UPDATE else 200, error.detail)

    @blueprint.errorhandler(RequestEntityTooLarge)
    def too_large(_error: RequestEntityTooLarge) -> Response:
        limit = parts.config.max_body_bytes // 1024
        return refusal(request.path, 413, BLANK, f"The body is larger than the limit of {limit} KiB.")

    @blueprint.errorhandler(errors.BotswainError)
    def refused(error: errors.BotswainError) -> Response:
        return _refused(error)

    return blueprint


def _refused(error: errors.BotswainError) -> Response:
    text = error.detail
    if isinstance(error, errors.Unauthenticated):
        response = _stranger(401, text)
        response.headers["WWW-Authenticate"] = 'Basic realm="Botswain robots"'
        return response
    if isinstance(error, errors.Forbidden):
        return _robot(403, text, code=CODE_ROBOT_NOT_FOUND)
    if isinstance(error, errors.NotFound):
        return _robot(404, text)
    if isinstance(error, errors.NotAllowedNow):
        return _robot(409, text, status=error.status)
    if isinstance(error, errors.Conflict):
        return _robot(409, text)
    if isinstance(error, errors.Invalid):
        return _robot(400, text)
    if isinstance(error, errors.Unavailable):
        return _robot(503, text, retry_after=error.retry_after)
    raise error


def _robot(
    http_status: int, text: str, *, code: int = BLANK, retry_after: int = 0, status: int | None = None
) -> Response:
    return refusal(request.path, http_status, code, text, retry_after, guid=_said_guid(), status=status)


def _stranger(http_status: int, text: str, retry_after: int = 0) -> Response:
    """Of somebody unknown, a short body is read and no other: reading costs, and anybody may ask."""
    guid = _said_guid() if (request.content_length or 0) <= STRANGERS_BYTES else None
    return refusal(request.path, http_status, CODE_ROBOT_NOT_FOUND, text, retry_after, guid=guid)


def _said_guid() -> str | None:
    """The job that a job/update names, where that can be read."""
    if request.path != UPDATE:
        return None
    try:
        return Fields.read(request.get_data(), request.content_type or "").guid("guid") or None
    except errors.Invalid:
        return None


@dataclass(frozen=True)
class LineMarks:
    """The marks of a robot's lines as they were before a look at SQL.

    Where that look finds a line empty, its mark may go, unless it has changed meanwhile: whoever adds a job
    marks the line after the commit, so a job that the look could not see changes the mark after it.
    """

    by_target: dict[str, tuple[str, str]]

    @classmethod
    def read(cls, presence: Presence, robot: Any) -> LineMarks:
        lines = announcements.familiar(robot).lines
        try:
            marks = presence.line_marks(lines)
        except RedisError:
            return cls({})
        return cls(dict(zip(consume.targets(robot), zip(lines, marks, strict=True), strict=True)))

    def clear(self, presence: Presence, empty_targets: frozenset[str]) -> None:
        found = [self.by_target[target] for target in empty_targets if target in self.by_target]
        marked = [(line, mark) for line, mark in found if mark]
        if marked:
            with suppress(RedisError):  # a mark too many costs a robot one question
                presence.clear_lines([line for line, _ in marked], [mark for _, mark in marked])


def _version(tx: Transaction, version_id: int) -> Any:
    """Versions are immutable, so each is read once a process."""
    found = _versions().get(version_id)
    if found is None:
        found = processes.version_for_robot(tx, version_id)
        if len(_versions()) < 10_000:
            _versions()[version_id] = found
    return found


@lru_cache(maxsize=1)
def _versions() -> dict[int, Any]:
    return {}
