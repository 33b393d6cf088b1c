"""The wall between tenants in Sherpa's task and queue routes: by GUID and by name, wherever named."""

from __future__ import annotations

import base64
import json
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from orchestrator.api.operations import OPENAPI
from orchestrator.robots import lifecycle as robots
from orchestrator.runs import lifecycle as runs
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken

QUEUE, TASK = "our queue", "our task"
# What each operation is told beside what its path names; every one of them means a thing of ours.
TOLD: dict[str, Any] = {
    "sherpa_create_task": {"queue_guid": "{queue}", "name": "theirs"},
    "sherpa_read_task": {},
    "sherpa_read_task_named": {"guid": "{task}"},
    "sherpa_update_task": {"guid": "{task}", "status": 2, "comment": "theirs"},
    "sherpa_delete_task": {},
    "sherpa_delete_task_named": {"guid": "{task}"},
    "sherpa_add_tags": {"task_guid": "{task}", "tag_names": "theirs"},
    "sherpa_remove_tags": {"task_guid": "{task}", "tag_names": "*"},
    "sherpa_filter_read": {"queue_guid": "{queue}"},
    "sherpa_filter_list": {"queue_guid": "{queue}"},
    "sherpa_filter_read_queue": {},
    "sherpa_filter_read_path": {},
    "sherpa_filter_list_queue": {},
    "sherpa_filter_list_path": {},
    "sherpa_read_queue": {},
    "sherpa_read_queue_named": {"guid": "{queue}"},
    "sherpa_update_queue": {"guid": "{queue}", "description": "theirs"},
    "sherpa_delete_queue": {},
    "sherpa_delete_queue_named": {"guid": "{queue}"},
    "sherpa_last_task": {},
    "sherpa_last_task_named": {"guid": "{queue}"},
}
MAKES_ITS_OWN = {"sherpa_create_queue"}
FOR_PEOPLE = {"sherpa_update_queue", "sherpa_delete_queue", "sherpa_delete_queue_named"}


@pytest.fixture
def ours(admin: Caller) -> dict[str, str]:
    """The GUIDs of a queue with one task, and of an empty one."""
    queue = admin.post("/api/queue/create", {"name": QUEUE}).json["guid"]
    empty = admin.post("/api/queue/create", {"name": "empty"}).json["guid"]
    task = admin.post("/api/task/create", {"queue_guid": queue, "name": TASK, "tags": "ours"}).json["guid"]
    return {"queue": queue, "task": task, "empty": empty}


@pytest.fixture
def strangers(app: Flask, caller: MakeToken, other_tenant: int, parts: Parts) -> dict[str, Caller]:
    """The administrator of another tenant, and its robot, in a run."""
    admin = caller("admin", other_tenant)
    guid = admin.post("/api/v1/robots", {"name": "theirs"}).json["guid"]

    def begin(tx: Any) -> None:
        robot = robots.existing(tx, "theirs")
        runs.begin(tx, SimpleNamespace(id=robot.id, guid=str(uuid.uuid4()), attempt=1), robot.id, 1)

    parts.transactions.run(begin, tenant_id=other_tenant)
    robot = Caller(app.test_client(), "Basic " + base64.b64encode(guid.encode()).decode())
    return {"admin": admin, "robot": robot}


def operations(app: Flask) -> list[tuple[str, str, str]]:
    """(name, method, path) of every route of Sherpa's tasks and queues."""
    paths = json.loads(app.extensions[OPENAPI]())["paths"].items()
    return [
        (operation["operationId"], method.upper(), path)
        for path, by_method in paths
        if path.startswith(("/api/task/", "/api/queue/"))
        for method, operation in by_method.items()
    ]


def test_another_tenant_finds_nothing_of_ours(
    app: Flask, admin: Caller, ours: dict[str, str], strangers: dict[str, Caller]
) -> None:
    before = _state(admin, ours)
    listed = operations(app)
    assert {name for name, _, _ in listed} == TOLD.keys() | MAKES_ITS_OWN
    for keys in (ours, {"queue": QUEUE, "task": TASK}, {"queue": ours["empty"], "task": ours["task"]}):
        named = {**keys, "filters": "{}"}
        for name, method, path in listed:
            if name in MAKES_ITS_OWN:
                continue
            told = {field: _filled(value, named) for field, value in TOLD[name].items()}
            content: dict[str, Any] = {"query_string": told} if method == "GET" else {"json": told}
            for kind, stranger in strangers.items():
                answer = stranger(method, path.format(**named), **content)
                expected = 403 if kind == "robot" and name in FOR_PEOPLE else 404
                assert answer.status_code == expected, f"{kind} {method} {path}: {answer.text}"
    assert _state(admin, ours) == before, "nothing of it had an effect"


def test_names_are_each_tenants_own(
    admin: Caller, ours: dict[str, str], strangers: dict[str, Caller]
) -> None:
    other, robot = strangers["admin"], strangers["robot"]
    queue = other.post("/api/queue/create", {"name": QUEUE}).json["guid"]
    task = other.post("/api/task/create", {"queue_guid": QUEUE, "name": TASK}).json["guid"]
    assert robot.get(f"/api/queue/lastTask/{QUEUE}").json["guid"] == task
    assert robot.get(f"/api/queue/lastTask/{QUEUE}").json == []
    assert robot.get(f"/api/task/read/{TASK}").json["guid"] == task
    assert other.get("/api/queue/read", Guid=QUEUE).json["guid"] == queue
    assert admin.get(f"/api/task/read/{TASK}").json["guid"] == ours["task"]
    assert admin.get(f"/api/queue/lastTask/{QUEUE}").json["guid"] == ours["task"]


def _filled(value: Any, named: dict[str, str]) -> Any:
    return value.format(**named) if isinstance(value, str) else value


def _state(admin: Caller, ours: dict[str, str]) -> Any:
    read = [admin.get(f"/api/task/read/{ours['task']}").json]
    read += [admin.get(f"/api/queue/read/{ours[name]}").json for name in ("queue", "empty")]
    return read, [one["event"] for one in _history(admin, ours["task"])]


def _history(admin: Caller, task: str) -> list[dict[str, Any]]:
    return list(admin.get(f"/api/v1/resources/{task}/history").json["items"])
