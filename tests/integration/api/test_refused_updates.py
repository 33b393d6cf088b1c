"""What a robot is told that says something of a job which cannot be: the protocol's fields, all of them."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from orchestrator.jobs.dispatch import dispatch
from orchestrator.tasks.model import Lane
from tests.integration.api.conftest import Caller, Scheduler

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
Say = Callable[..., Any]
TOO_LARGE = "x" * (9 * 1024 * 1024)


def basic(credentials: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()}


@pytest.fixture
def robot(admin: Caller) -> str:
    return str(admin.post("/api/v1/robots", {"name": "r1"}).json["guid"])


@pytest.fixture
def update(app: Flask, robot: str) -> Say:
    client = app.test_client()

    def say(guid: str, status: Any, **more: Any) -> Any:
        headers = more.pop("headers", basic(robot))
        fields = {"guid": guid, "status": status, **more.pop("fields", {})}
        return client.put("/api/job/update", headers=headers, **(more or {"data": fields}))

    return say


@pytest.fixture
def job(app: Flask, admin: Caller, process: str, scheduler: Scheduler, robot: str) -> str:
    """The robot's, in progress."""
    guid = str(admin.post("/api/v1/jobs", {"process": process}).json["guid"])
    batch = scheduler.claim(Lane.SCHEDULER)
    scheduler.run(lambda tx: dispatch(tx, batch))
    client = app.test_client()
    client.post("/api/robot/consumeNextJob", data={"Status": 2}, headers=basic(robot))
    assert client.put("/api/job/update", data={"guid": guid, "status": 8}, headers=basic(robot)).json == {
        "guid": guid,
        "status": 8,
        "ErrorText": "",
    }
    return guid


def test_a_refused_transition_names_the_job_and_its_state(update: Say, job: str) -> None:
    for refused in (
        update(job, 1),
        update("{" + job.upper() + "}", 1, fields={"result": '"' + "y" * 200_000 + '"'}),
        update(job, 1, json={"guid": job, "status": 1}),
    ):
        assert refused.status_code == 409
        assert (refused.json["guid"], refused.json["status"]) == (job, 8)


def test_every_other_refusal_names_the_job_that_was_sent(update: Say, job: str, robot: str) -> None:
    unknown = str(uuid.uuid4())
    cases = [
        (404, unknown, update(unknown, 4)),
        (400, job, update(job, "abc")),
        (400, job, update(job, 4, fields={"result": "{"})),
        (403, job, update(job, 4, fields={"RobotGUID": unknown})),
        (401, job, update(job, 4, headers={})),
        (404, job, update(job, 4, headers=basic(unknown))),
    ]
    for expected, guid, refused in cases:
        assert (refused.status_code, refused.json["guid"]) == (expected, guid), refused.text


def test_what_cannot_be_read_names_none(update: Say, job: str) -> None:
    wrong = [
        (400, update("abc", 4)),
        (400, update("", 4)),
        (400, update(job, 4, json=[job])),
        (400, update(job, 4, data=b"{", content_type="application/json")),
        (413, update(job, 4, fields={"result": TOO_LARGE})),
        (401, update(job, 4, fields={"result": TOO_LARGE}, headers={})),
    ]
    for expected, refused in wrong:
        assert (refused.status_code, refused.json["guid"]) == (expected, None), refused.text
