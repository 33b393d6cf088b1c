"""The robot protocol: heartbeat, consumeNextJob, job/update (Sherpa's Python framework document).

Plain Flask views: these are the hottest requests, and their errors have the protocol's own fields.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from orchestrator import errors
from orchestrator.api import rates, robot_fields
from orchestrator.api.auth import Policy, allow
from orchestrator.api.line_marks import LineMarks, Marks
from orchestrator.api.robot_answers import BLANK, UPDATE, answer, consume_answer, heartbeat_answer, refusal
from orchestrator.api.robot_fields import Credentials, Fields
from orchestrator.api.steady_heartbeat import SteadyHeartbeat
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.jobs import announcements, consume, heartbeat, report
from orchestrator.jobs.consume import Consumed
from orchestrator.processes import lifecycle as processes
from orchestrator.robots import doubles
from orchestrator.robots.doubles import InUse
from orchestrator.robots.model import RobotStatus
from orchestrator.sessions.credentials import authenticate
from orchestrator.transaction import SYSTEM, SYSTEM_TENANT, Actor, Transaction
from orchestrator.wiring import Parts

Result = TypeVar("Result")
CODE_ROBOT_NOT_FOUND = 101
STRANGERS_BYTES = 64 * 1024
UNKNOWN_LIMIT = 30


class UnknownRobot(errors.BotswainError):
    """No robot with this GUID is known here"""

    code = "robot_not_found"


def register(app: Flask, parts: Parts, room: WaitingRoom) -> None:
    steady = SteadyHeartbeat(app.wsgi_app, parts, room)
    app.wsgi_app = steady  # type: ignore[method-assign]
    protocol, blueprint = Protocol(parts, steady), Blueprint("robot_protocol", __name__)
    for method, path, view in (
        ("POST", "/api/robot/heartbeat", protocol.beat),
        ("POST", "/api/robot/consumeNextJob", protocol.consume_next_job),
        ("PUT", UPDATE, protocol.update_job),
    ):
        blueprint.add_url_rule(path, view.__name__, view, methods=[method])
    blueprint.register_error_handler(UnknownRobot, protocol.refuse_unknown)
    blueprint.register_error_handler(RequestEntityTooLarge, protocol.refuse_too_large)
    blueprint.register_error_handler(errors.BotswainError, _refused)
    app.register_blueprint(blueprint)


class Protocol:
    """Its three requests, and the refusals that need to know the server."""

    def __init__(self, parts: Parts, steady: SteadyHeartbeat) -> None:
        self._parts = parts
        self._steady = steady
        self._marks = LineMarks(parts.presence)

    @allow(Policy.OWN)
    def beat(self) -> Response:
        def work(tx: Transaction, robot: Any) -> tuple[Any, str, heartbeat.Beat, float, heartbeat.Answer]:
            given = self._own_fields(robot)
            told, wait = robot_fields.heartbeat(given)
            said = heartbeat.beat(tx, robot, told, self._parts.run_lease)
            return robot, given.text("RobotGUID"), told, wait, said

        robot, named, told, wait, said = self._as_robot(work)
        familiar = announcements.familiar(robot)
        self._steady.remember(request.headers["Authorization"], named, familiar)
        self._marks.remember(request.headers["Authorization"], familiar)
        if wait and told.status == RobotStatus.READY and not said.has_new_job and not said.code:
            said_later = self._steady.wait(familiar, announcements.place(told), wait)
            return heartbeat_answer(0, "", said_later)
        return heartbeat_answer(said.code, said.text, said.has_new_job)

    @allow(Policy.OWN)
    def consume_next_job(self) -> Response:
        header = request.headers.get("Authorization", "")
        remembered = self._marks.read(header)

        def work(tx: Transaction, robot: Any) -> tuple[Any, Consumed, Any, Marks]:
            given = self._own_fields(robot)
            lines = announcements.familiar(robot).lines
            # Before the look at SQL, whichever way.
            marks = remembered if remembered.lines == lines else self._marks.of(lines)
            status = given.number("Status", RobotStatus.DISCONNECTED, RobotStatus.WORKING)
            self._refuse_second(tx, robot, given)
            consumed = consume.consume(tx, robot, status, self._parts.run_lease)
            if consumed.job is not None:
                doubles.own(tx, robot, robot_fields.program(given), 2 * self._parts.run_lease)
            version = _version(tx, consumed.job.process_version_id) if consumed.job is not None else None
            return robot, consumed, version, marks

        robot, consumed, version, marks = self._as_robot(work, lock=True)
        self._marks.remember(header, announcements.familiar(robot))
        self._marks.clear(marks, [announcements.line(robot, target) for target in consumed.empty_targets])
        return consume_answer(consumed, version, request.host_url)

    @allow(Policy.OWN)
    def update_job(self) -> Response:
        def work(tx: Transaction, robot: Any) -> tuple[str, int]:
            given = self._own_fields(robot)
            told = robot_fields.report(given)
            self._refuse_second(tx, robot, given)
            return told.guid, report.report(tx, robot, told)

        guid, status = self._as_robot(work)
        return answer({"guid": guid, "status": int(status), "ErrorText": ""})

    def refuse_unknown(self, error: UnknownRobot) -> Response:
        """Whoever tries GUIDs is slowed down by address, which never touches a known robot."""
        if rates.exceeds(self._parts.redis, f"unknown:{request.remote_addr}", UNKNOWN_LIMIT):
            return _stranger(429, "Too many unknown GUIDs; slow down.", 30)
        return _stranger(404 if request.path == UPDATE else 200, error.detail)

    def refuse_too_large(self, _error: RequestEntityTooLarge) -> Response:
        limit = self._parts.config.max_body_bytes // 1024
        return refusal(request.path, 413, BLANK, f"The body is larger than the limit of {limit} KiB.")

    def _as_robot(self, work: Callable[[Transaction, Any], Result], *, lock: bool = False) -> Result:
        """Run `work` in a transaction as the robot that the Authorization header names."""
        credentials = Credentials.read(request.headers.get("Authorization"))
        digest = self._parts.config.digest
        guid_digest = digest(credentials.guid)
        secret_digest = digest(credentials.secret) if credentials.secret else ""

        def unit(tx: Transaction) -> Result:
            robot = authenticate(tx, guid_digest, lock=lock)
            if robot is None or not hmac.compare_digest(robot.secret_digest or secret_digest, secret_digest):
                raise UnknownRobot
            tx.tenant_id = robot.tenant_id
            tx.actor = Actor("robot", robot.name, robot.id)
            return work(tx, robot)

        return self._parts.transactions.run(unit, tenant_id=SYSTEM_TENANT, actor=SYSTEM)

    def _own_fields(self, robot: Any) -> Fields:
        """The body's fields, whose RobotGUID, where it is named, must be the caller's own."""
        given = Fields.read(request.get_data(), request.content_type or "")
        named = given.guid("RobotGUID")
        if named and not hmac.compare_digest(self._parts.config.digest(named), robot.guid_digest):
            raise errors.Forbidden("RobotGUID: a robot may only speak for itself.")
        return given

    def _refuse_second(self, tx: Transaction, robot: Any, given: Fields) -> None:
        """While the first has a job, a second program is handed nothing, and its word does not count."""
        program = robot_fields.program(given)
        if doubles.is_second(tx, robot, program, self._parts.run_lease) and heartbeat.has_job(tx, robot):
            raise InUse(robot)


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
