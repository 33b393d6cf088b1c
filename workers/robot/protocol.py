"""The robot protocol as the agent speaks it: heartbeat, consumeNextJob, job/update.

Source: Sherpa's Python framework document, with Botswain's `Wait`, `result`, `error` and `progress`.
"""

from __future__ import annotations

import base64
import json
import math
import socket
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional
from urllib.parse import urlsplit

from .transport import Answer, Transport, Unreachable

DISCONNECTED, READY, WORKING = 0, 2, 3  # of a robot
ABORTING, ABORTED, SUCCESS, FAILED, STOPPING, STOPPED, IN_PROGRESS = 2, 3, 4, 5, 6, 7, 8  # of a job
ORDER_ABORT, ORDER_STOP, ROBOT_NOT_FOUND, NO_NEW_JOB = 10, 20, 101, 102

MOST_ERROR = 8000  # characters
TIMEOUT = 15.0  # seconds for one answer; a waiting heartbeat has its wait on top
_ORCHESTRATED = "1"


class Refused(Exception):  # noqa: N818 - an answer
    """The server's final no. `job_status` is the state the job has there, where it said one."""

    def __init__(self, http_status: int, text: str, job_status: Optional[int] = None) -> None:
        super().__init__(text)
        self.http_status = http_status
        self.job_status = job_status


@dataclass(frozen=True)
class Beat:
    code: int
    text: str
    has_new_job: bool


@dataclass(frozen=True)
class Offer:
    """One job to run: the three documents of consumeNextJob."""

    job: Mapping[str, Any]
    version: Mapping[str, Any]
    task: Mapping[str, Any]

    @property
    def guid(self) -> str:
        return str(self.job["GUID"])

    @property
    def name(self) -> str:
        return str(self.job.get("Name") or "")

    @property
    def fence(self) -> Optional[int]:
        """The number of this run, where the server gives one: updates of another run are refused."""
        return _whole(self.job.get("Fence"))


@dataclass(frozen=True)
class Place:
    """Where this robot runs, as every heartbeat tells it; `instance` tells it from others of its GUID."""

    machine: str
    ip: str
    mac: str
    instance: str = ""


class Server:
    """The three calls. Each raises Unreachable (try again) or Refused (do not)."""

    def __init__(self, transport: Transport, guid: str, place: Place) -> None:
        self.transport = transport
        self._guid = guid
        self._place = place

    def heartbeat(
        self, status: int, job_guid: str = "", job_name: str = "", wait: int = 0, timeout: float = TIMEOUT
    ) -> Beat:
        """Say how this robot is. `wait` (seconds) holds the answer of a ready one until there is a job."""
        form = {
            "RobotGUID": self._guid,
            "Machine": self._place.machine,
            "IP": self._place.ip,
            "MAC": self._place.mac,
            "Status": str(status),
            "JobGUID": job_guid,
            "JobName": job_name,
            "JobType": _ORCHESTRATED,
            **self._self(),
        }
        if wait:
            form["Wait"] = str(wait)
        answer = self._call("POST", "api/robot/heartbeat", form, timeout + wait, parked=status == READY)
        code = _number(answer, "HeartbeatErrorCode")
        return Beat(code, str(answer.get("ErrorText") or ""), answer.get("HasNewJob") in (1, "1"))

    def consume(self) -> Optional[Offer]:
        """The next job, or None when there is none after all."""
        form = {"RobotGUID": self._guid, "Status": str(READY), **self._self()}
        answer = self._call("POST", "api/robot/consumeNextJob", form, TIMEOUT)
        code = _number(answer, "ConsumeJobErrorCode")
        if code == ROBOT_NOT_FOUND:
            raise Refused(404, str(answer.get("ErrorText") or "the server does not know this robot"))
        if code != 0:
            return None
        return _offer(answer)

    def update(
        self,
        guid: str,
        status: int,
        result: Optional[str] = None,
        error: Optional[str] = None,
        progress: Optional[int] = None,
        fence: Optional[int] = None,
    ) -> None:
        """Ask for the job's next state. `result` is JSON text, `progress` a percentage."""
        form = {"guid": guid, "status": str(status), **self._self()}
        form.update({"result": result} if result is not None else {})
        form.update({"error": error[:MOST_ERROR]} if error else {})
        form.update({"progress": str(progress)} if progress is not None else {})
        form.update({"fence": str(fence)} if fence is not None else {})
        self._call("PUT", "api/job/update", form, TIMEOUT)

    def _self(self) -> Mapping[str, str]:
        """What tells this agent from another one with the same GUID."""
        place = self._place
        return {"Machine": place.machine, "Instance": place.instance} if place.instance else {}

    def download(self, url: str, write: Callable[[bytes], object]) -> int:
        """The bytes of a package to `write`, and the HTTP status of the answer."""
        return self.transport.download(url, write, TIMEOUT)

    def _call(
        self, method: str, path: str, form: Mapping[str, str], timeout: float, parked: bool = False
    ) -> Mapping[str, Any]:
        sendable = {name: _sendable(value) for name, value in form.items()}
        answer = self.transport.send(method, path, sendable, timeout, parked)
        document = answer.document
        if document is None or answer.status == 429 or answer.status >= 500 or answer.status // 100 == 3:
            # A no without the protocol's JSON comes from a proxy on the way, and says nothing about the job.
            raise Unreachable(_describe(answer), answer.retry_after)
        if answer.status != 200:
            raise Refused(answer.status, _describe(answer), _whole(document.get("status")))
        return document


def place_of(server: str, instance: str = "") -> Place:
    """This machine's name and addresses, as far as it knows them."""
    node = uuid.getnode()
    invented = bool(node >> 40 & 1)  # uuid makes up a number, with this bit set, where it finds no interface
    mac = "" if invented else ":".join(f"{node >> shift & 255:02x}" for shift in range(40, -1, -8))
    return Place(socket.gethostname(), _address_towards(server), mac, instance)


def authorization(guid: str, secret: str = "") -> str:
    """The Basic header: the GUID alone, without a colon, or `GUID:secret` in the stronger form."""
    pair = f"{guid}:{secret}" if secret else guid
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


def _address_towards(server: str) -> str:
    url = urlsplit(server)
    try:
        found = socket.getaddrinfo(url.hostname, url.port or 80, type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], socket.SOCK_DGRAM) as probe:
            probe.connect(found[4])  # a datagram socket: nothing is sent
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _offer(answer: Mapping[str, Any]) -> Offer:
    # The document's own sample reads the third key with blanks around it; some servers only serve that one.
    task = answer.get("Task", answer.get(" Task "))
    offer = Offer(_document(answer.get("Job")), _document(answer.get("ProcessVersion")), _document(task))
    if not _is_guid(offer.job.get("GUID")):
        raise Unreachable("the server handed out a job without a readable GUID")
    return offer


def _document(value: Any) -> Mapping[str, Any]:
    """A JSON document inside a JSON string; `null` and anything that is no object count as empty."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError as broken:
        raise Unreachable("the server handed out a job that is not JSON") from broken
    return found if isinstance(found, dict) else {}


def _is_guid(value: Any) -> bool:
    """It names a folder later, so nothing but a GUID will do."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value.lower()
    except ValueError:
        return False


def _sendable(text: str) -> str:
    """`text` without what no server stores: NUL, and halves of surrogate pairs (paths may hold them)."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _number(answer: Mapping[str, Any], field: str) -> int:
    value = _whole(answer.get(field))
    if value is None:
        raise Unreachable(f"the server's answer has no number in {field}")
    return value


def _whole(value: Any) -> Optional[int]:
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    if isinstance(value, (int, float)) and math.isfinite(value):
        return int(value)
    return None


def _describe(answer: Answer) -> str:
    document = answer.document or {}
    text = document.get("ErrorText") or document.get("detail")
    return str(text) if text else f"the server answered {answer.status}"
