"""The heartbeat of a robot to which nothing new has happened, answered in front of Flask by one Lua call.

Measured on one machine in one run: a heartbeat through Flask 8,200 a second, here 22,400, Flask's own no-op
20,700. Whatever this layer does not recognise goes on to Flask with its body untouched.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from redis import RedisError

from orchestrator.api.robot_answers import heartbeat_fields
from orchestrator.api.robot_fields import WAIT_LIMIT
from orchestrator.api.waiting_room import WaitingRoom
from orchestrator.errors import Invalid
from orchestrator.robots.lifecycle import normal_guid
from orchestrator.robots.presence import SLOW, Familiar
from orchestrator.robots.scripts import Packed
from orchestrator.wiring import Parts

PATH = "/api/robot/heartbeat"
BODY_LIMIT = 8192
MEMORY_LIMIT = 20_000
USUAL_BODY = 1024  # longer ones are read anew each time
TEXTS = {
    0: "",
    10: "A hard stop was asked for: end the script now.",
    20: "A soft stop was asked for: let the script end cleanly.",
}

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


def _encoded(code: int, has_new_job: bool) -> bytes:
    return json.dumps(heartbeat_fields(code, TEXTS[code], has_new_job)).encode()


ANSWERS = {code * 2 + has: _encoded(code, bool(has)) for code in TEXTS for has in (0, 1)}


@dataclass(frozen=True)
class Told:
    """A heartbeat that was understood: whose it is, what Redis is asked, and the seconds that it may wait."""

    robot: Familiar
    robot_guid: str
    beat: Packed
    wait: float


class SteadyHeartbeat:
    def __init__(self, application: Application, parts: Parts, room: WaitingRoom) -> None:
        self._application = application
        self._presence = parts.presence
        self._room = room
        self._familiar: dict[tuple[str, str], Familiar] = {}
        self._told: dict[tuple[str, str, bytes], Told] = {}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH and environ["REQUEST_METHOD"] == "POST":
            said = self._answer(environ)
            if said is not None:
                headers = [("Content-Type", "application/json"), ("Content-Length", str(len(said)))]
                start_response("200 OK", headers)
                return [said]
        return self._application(environ, start_response)

    def remember(self, header: str, robot_guid: str, robot: Familiar) -> None:
        """Recognise this Authorization with this RobotGUID, to the letter, from now on.

        Both have just been checked in full; presence is asked at each beat whether they still hold.
        """
        if self._familiar.get((header, robot_guid)) == robot:
            return
        if len(self._familiar) >= MEMORY_LIMIT:
            self._familiar.clear()
        self._familiar[header, robot_guid] = robot

    def wait(self, robot: Familiar, place: str, seconds: float) -> bool:
        """Park a ready robot until a job comes into one of its lines, at most `seconds`."""
        return self._wait(robot, self._presence.pack_beat(robot, place, "2", ""), seconds)

    def _wait(self, robot: Familiar, beat: Packed, seconds: float) -> bool:
        said = 0

        def look() -> bool:
            nonlocal said
            try:
                said = self._presence.beat(beat)
            except RedisError:
                said = SLOW
            return said != 0

        self._room.wait(robot.lines, min(seconds, WAIT_LIMIT), look)
        return said == 1

    def _answer(self, environ: dict[str, Any]) -> bytes | None:
        """The whole answer, or None where the slow way is to be taken."""
        body = _read_body(environ)
        if body is None:
            return None
        kind, header = environ.get("CONTENT_TYPE", ""), environ.get("HTTP_AUTHORIZATION", "")
        told = self._told.get((header, kind, body))
        if told is None or self._familiar.get((header, told.robot_guid)) is not told.robot:
            try:
                told = self._understand(header, kind, body)
            except (ValueError, RecursionError):  # it cannot be read, or not be sent on: anybody may say so
                told = None
            if told is None:
                return None
        try:
            said = self._presence.beat(told.beat)
            if said == 0 and told.wait:
                said = int(self._wait(told.robot, told.beat, told.wait))
        except RedisError:
            return None
        return ANSWERS.get(said)

    def _understand(self, header: str, kind: str, body: bytes) -> Told | None:
        """What a robot known by `header` says; remembered, for it says the same until something happens."""
        values = _read_fields(kind, body)
        if values is None:
            return None
        guid = values.get("RobotGUID", "")
        robot = self._familiar.get((header, guid))
        if robot is None:
            return None
        status, wait = values.get("Status", ""), values.get("Wait", "0") or "0"
        if values.get("JobType", "1") not in ("1", "") or not wait.replace(".", "", 1).isdecimal():
            return None  # malformed fields are named on the slow way
        if not _is_guid(values.get("JobGUID", "")):
            return None
        place = "\n".join([values.get(name, "") for name in ("Machine", "IP", "MAC", "Instance")])
        beat = self._presence.pack_beat(robot, place, status, values.get("JobGUID", ""))
        told = Told(robot, guid, beat, float(wait) if status == "2" else 0.0)
        if len(body) <= USUAL_BODY:
            if len(self._told) >= MEMORY_LIMIT:
                self._told.clear()
            self._told[header, kind, body] = told
        return told


def _read_body(environ: dict[str, Any]) -> bytes | None:
    """The body, which can be read again after, or None where it is none that this layer reads."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return None
    if not 0 < length <= BODY_LIMIT or environ.get("HTTP_CONTENT_ENCODING"):
        return None
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _read_fields(kind: str, body: bytes) -> dict[str, str] | None:
    """The body's fields as texts, or None where they are not plain. Raises `ValueError`, `RecursionError`."""
    if kind.startswith("application/json"):
        return _texts(json.loads(body))
    if "charset" in kind.lower():
        return None
    pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100, errors="strict")
    values = dict(pairs)
    return values if len(values) == len(pairs) else None


def _is_guid(text: str) -> bool:
    """Or none at all."""
    try:
        return not text.strip() or bool(normal_guid(text))
    except Invalid:
        return False


def _texts(document: Any) -> dict[str, str] | None:
    if not isinstance(document, dict):
        return None
    if any(type(value) not in (str, int, float, type(None)) for value in document.values()):
        return None
    return {key: "" if value is None else str(value) for key, value in document.items()}
