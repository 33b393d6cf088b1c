"""Sherpa's queues: the same queues as those of REST v1."""

from __future__ import annotations

import base64

from flask import Flask

from tests.integration.api.conftest import Caller, MakeToken


def test_a_queue_lives(admin: Caller) -> None:
    new = {"Name": "Test Queue", "Description": "of tests", "UniqueTasks": "1", "AutoChangeStatus": 1}
    guid = admin("POST", "/api/queue/create", data=new).json["guid"]
    expected = {
        "id": guid,
        "guid": guid,
        "name": "Test Queue",
        "description": "of tests",
        "auto_change_status": 1,
        "unique_tasks": 1,
    }
    assert admin.get(f"/api/queue/read/{guid}").json == expected
    assert admin.get("/api/queue/read", Guid="Test Queue").json == expected
    change = {"Guid": guid, "Name": "Updated", "UniqueTasks": 0}
    assert admin("PUT", "/api/queue/update", json=change).json == []
    changed = expected | {"name": "Updated", "unique_tasks": 0}
    assert admin.get("/api/queue/read/Updated").json == changed
    assert admin.get("/api/v1/queues/Updated").json["json_schema"] is None
    assert admin("DELETE", f"/api/queue/delete/{guid}").json == []
    assert admin.get(f"/api/queue/read/{guid}").status_code == 404


def test_a_queue_that_holds_tasks_is_not_deleted(admin: Caller) -> None:
    admin.post("/api/queue/create", {"name": "full"})
    admin.post("/api/task/create", {"queue_guid": "full", "name": "a"})
    assert admin("DELETE", "/api/queue/delete", json={"guid": "full"}).status_code == 409


def test_rights_are_those_of_v1(app: Flask, caller: MakeToken, admin: Caller) -> None:
    admin.post("/api/queue/create", {"name": "q"})
    viewer = caller("viewer")
    assert viewer.get("/api/queue/read/q").status_code == 200
    assert viewer.post("/api/queue/create", {"name": "mine"}).status_code == 403
    assert viewer.post("/api/task/create", {"queue_guid": "q", "name": "a"}).status_code == 403
    guid = admin.post("/api/v1/robots", {"name": "r"}).json["guid"]
    robot = Caller(app.test_client(), "Basic " + base64.b64encode(guid.encode()).decode())
    assert robot.post("/api/queue/create", {"name": "mine"}).status_code == 403
    assert robot.post("/api/task/create", {"queue_guid": "q", "name": "a"}).status_code == 200
    refused = robot.get("/api/queue/lastTask/q")  # it has no run, on whose behalf it could take one
    assert (refused.status_code, refused.json["code"]) == (409, "no_run")
    assert admin.get("/api/queue/lastTask/q").json["status"] == "0"  # a person only looks
