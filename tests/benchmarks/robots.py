"""Robots as the protocol's document writes them: form bodies, one connection each, one loop."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tests.benchmarks.cluster import FORM_BODY
from tests.benchmarks.wire import Conversation, request


@dataclass(frozen=True)
class Robot:
    guid: str
    wait_seconds: int = 0
    heartbeat: bytes = field(init=False)
    consume: bytes = field(init=False)

    def __post_init__(self) -> None:
        beat = {
            "RobotGUID": self.guid,
            "Machine": f"machine-{self.guid[:8]}",
            "IP": "10.0.0.7",
            "MAC": "00:11:22:33:44:55",
            "Status": 2,
            "JobGUID": "",
            "JobName": "",
            "JobType": 1,
        }
        if self.wait_seconds:
            beat["Wait"] = self.wait_seconds
        asking = {"RobotGUID": self.guid, "Status": 2}
        object.__setattr__(self, "heartbeat", self._request("POST", "/api/robot/heartbeat", beat))
        object.__setattr__(self, "consume", self._request("POST", "/api/robot/consumeNextJob", asking))

    def update(self, job: str, status: int) -> bytes:
        return self._request("PUT", "/api/job/update", {"guid": job, "status": status})

    def _request(self, method: str, path: str, values: dict[str, object]) -> bytes:
        credentials = "Basic " + base64.b64encode(self.guid.encode()).decode()
        return request(method, path, credentials, urlencode(values).encode(), FORM_BODY)


def life(robot: Robot, finished: list[str]) -> Conversation:
    """The protocol's loop, for ever: heartbeat, consume, begin, end; `finished` gets each job's GUID."""
    while True:
        beat = (yield robot.heartbeat).json()
        if not beat["HasNewJob"]:
            continue
        consumed = (yield robot.consume).json()
        if consumed["ConsumeJobErrorCode"] != 0:
            continue
        guid = json.loads(consumed["Job"])["GUID"]
        for status in (8, 4):
            answer = yield robot.update(guid, status)
            if answer.status != 200:
                raise RuntimeError(f"update to {status} was answered {answer.status}: {answer.body!r}")
        finished.append(guid)
