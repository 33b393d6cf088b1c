"""What presence knows of a robot while it takes jobs and ends them: which of its heartbeats need SQL."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from orchestrator.jobs.dispatch import dispatch
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import claim
from orchestrator.tasks.model import PARTITIONS, Lane
from orchestrator.transaction import SYSTEM_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller

Speak = Callable[..., dict[str, Any]]
pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@pytest.fixture
def speak(app: Flask, admin: Caller) -> Speak:
    """A robot that says something, in the protocol's form."""
    guid = str(uuid.uuid4())
    assert admin.post("/api/v1/robots", {"name": "r1", "guid": guid}).status_code == 201
    header = {"Authorization": "Basic " + base64.b64encode(guid.encode()).decode()}
    client = app.test_client()

    def say(path: str, **fields: Any) -> dict[str, Any]:
        method = "PUT" if path == "job/update" else "POST"
        values = fields if path == "job/update" else {"RobotGUID": guid, **fields}
        answer = client.open(f"/api/{path}", method=method, data=values, headers=header)
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return dict(answer.json)

    return say


@pytest.fixture
def pending(admin: Caller, process: str, parts: Parts) -> Callable[[], str]:
    """Creates a job and hands it out, as a scheduler would; returns its GUID."""
    run = parts.transactions.run

    def make() -> str:
        guid = admin.post("/api/v1/jobs", {"process": process}).json["guid"]
        lease = timedelta(hours=1)
        owned = run(
            lambda tx: partitions.acquire(tx, range(PARTITIONS), "s#1", lease) or partitions.held(tx, "s#1"),
            tenant_id=SYSTEM_TENANT,
        )
        for one in owned:
            batch = run(
                lambda tx, one=one: claim(tx, one, Lane.SCHEDULER, 10, lease), tenant_id=SYSTEM_TENANT
            )
            if batch.tasks:
                run(lambda tx, batch=batch: dispatch(tx, batch.tasks), tenant_id=SYSTEM_TENANT)
        return str(guid)

    return make


@contextmanager
def statements(parts: Parts) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    engine = parts.transactions.engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_between_two_runs_a_robot_is_known_to_be_idle_without_sql(
    speak: Speak, pending: Callable[[], str], parts: Parts
) -> None:
    speak("robot/heartbeat", Status=2)
    for _ in range(2):
        guid = pending()
        with statements(parts) as seen:
            assert speak("robot/heartbeat", Status=2)["HasNewJob"] == 1
        assert seen == []
        assert json.loads(speak("robot/consumeNextJob", Status=2)["Job"])["GUID"] == guid
        speak("job/update", guid=guid, status=8)
        speak("job/update", guid=guid, status=4)
        with statements(parts) as seen:
            assert speak("robot/heartbeat", Status=2)["HasNewJob"] in (0, 1)
        assert seen == []


def test_a_robot_with_a_job_is_asked_of_sql_until_it_says_that_it_works(
    speak: Speak, pending: Callable[[], str], parts: Parts
) -> None:
    speak("robot/heartbeat", Status=2)
    guid = pending()
    speak("robot/consumeNextJob", Status=2)
    for _ in range(2):  # the answer was lost: it is told of its job again and again
        assert speak("robot/heartbeat", Status=2)["HasNewJob"] == 1
    assert json.loads(speak("robot/consumeNextJob", Status=2)["Job"])["GUID"] == guid
    speak("job/update", guid=guid, status=8)
    counts = []
    for _ in range(2):
        with statements(parts) as seen:
            speak("robot/heartbeat", Status=3, JobGUID=guid)
        counts.append(len(seen))
    assert counts[0] > 0
    assert counts[1] == 0


def test_ready_in_mid_job_is_still_seen_as_a_lost_run(
    speak: Speak, pending: Callable[[], str], admin: Caller
) -> None:
    speak("robot/heartbeat", Status=2)
    guid = pending()
    speak("robot/consumeNextJob", Status=2)
    speak("job/update", guid=guid, status=8)
    speak("robot/heartbeat", Status=2)
    assert admin.get(f"/api/v1/jobs/{guid}").json["reason"] == "robot_said_ready"
