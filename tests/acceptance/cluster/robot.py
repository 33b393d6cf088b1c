"""A robot as Sherpa's Python framework document describes it, one HTTP call at a time."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import httpx

READY, WORKING = 2, 3
ABORTED, SUCCESS, FAILED, STOPPING, STOPPED, IN_PROGRESS = 3, 4, 5, 6, 7, 8
NOT_FOUND, NO_NEW_JOB, ABORTING_ORDER, STOPPING_ORDER = 101, 102, 10, 20


@dataclass(frozen=True)
class Handed:
    """What consumeNextJob handed out: three JSON documents, read from their strings."""

    job: dict[str, Any]
    version: dict[str, Any]
    task: dict[str, Any]

    @classmethod
    def of(cls, answer: dict[str, str]) -> "Handed":
        return cls(*(json.loads(answer[part]) for part in ("Job", "ProcessVersion", "Task")))

    @property
    def guid(self) -> str:
        return str(self.job["GUID"])


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


class Robot:
    """Speaks for `guid`; every method gives the bare answer, so that tests judge it."""

    def __init__(
        self,
        url: str,
        guid: str,
        credentials: str | None = None,
        name: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.guid = guid
        self.name = name
        self.http = httpx.Client(
            verify=False,  # plain HTTP; reading the system's certificates takes 50 ms a client
            base_url=url,
            headers={"Authorization": basic(guid if credentials is None else credentials)},
            timeout=75,
            limits=httpx.Limits(max_connections=4, keepalive_expiry=2),
            transport=transport,
        )

    def beat(self, status: object = READY, job: str = "", **more: object) -> httpx.Response:
        fields = {
            "RobotGUID": self.guid,
            "Machine": "DESK-7",
            "IP": "10.0.0.7",
            "MAC": "02-00-00-00-00-07",
            "Status": status,
            "JobGUID": job,
            "JobName": "",
            "JobType": 1,
        }
        return self.http.post("/api/robot/heartbeat", data={**fields, **more})

    def consume(self, **more: object) -> httpx.Response:
        return self.http.post("/api/robot/consumeNextJob", data={"RobotGUID": self.guid, **more})

    def update(self, job: str, status: object, **more: object) -> httpx.Response:
        return self.http.put("/api/job/update", data={"guid": job, "status": status, **more})

    def order(self, job: str) -> int:
        """The error code of a heartbeat in mid-run: 0, 10 (abort) or 20 (stop)."""
        return int(self.beat(WORKING, job).json()["HeartbeatErrorCode"])

    def take(self) -> Handed:
        """The job that is handed out now; AssertionError when there is none."""
        handed = self.take_or_none()
        assert handed is not None, f"robot {self.name} was handed no job"
        return handed

    def take_or_none(self) -> Handed | None:
        answer = self.consume().json()
        if answer["ConsumeJobErrorCode"] == NO_NEW_JOB:
            return None
        assert answer["ConsumeJobErrorCode"] == 0, answer
        return Handed.of(answer)

    def begin(self) -> Handed:
        """Take the next job and say that it runs."""
        handed = self.take()
        answer = self.update(handed.guid, IN_PROGRESS)
        assert answer.status_code == 200, answer.text
        return handed

    def close(self) -> None:
        self.http.close()
