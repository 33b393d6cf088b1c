"""Wherever a request names a robot, its GUID will do; being a password, it is never said back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from sqlalchemy import insert

from orchestrator.robots.model import Robot
from orchestrator.sessions.model import Session
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken, publish

JOBS, TRIGGERS = "/api/v1/jobs", "/api/v1/triggers"
NIGHTLY = {"name": "nightly", "kind": "cron", "settings": {"expression": "30 2 * * *"}, "process": "invoices"}


@pytest.fixture
def guid(admin: Caller) -> str:
    admin.post("/api/v1/robots", {"name": "r2"})
    return str(admin.post("/api/v1/robots", {"name": "r1"}).json["guid"])


def spellings(guid: str) -> list[str]:
    return [guid, guid.upper(), "{" + guid + "}", f"  {guid.upper()} ", " { " + guid + " } "]


def test_an_order_for_a_job_names_its_robot_by_guid(admin: Caller, process: str, guid: str) -> None:
    for spelling in spellings(guid):
        made = admin.post(JOBS, {"process": process, "robot": spelling})
        assert (made.status_code, made.json.get("robot")) == (201, "r1"), made.text
        assert guid not in made.text.lower()
    both = admin.post(JOBS, [{"process": process, "robot": name} for name in (guid, "r2")]).json["items"]
    assert [job["robot"] for job in both] == ["r1", "r2"]


def test_a_list_of_jobs_is_asked_for_by_guid(admin: Caller, process: str, guid: str) -> None:
    job = admin.post(JOBS, {"process": process, "robot": "r1"}).json["guid"]
    admin.post(JOBS, {"process": process, "robot": "r2"})
    for spelling in spellings(guid):
        assert [one["guid"] for one in admin.get(JOBS, robot=spelling).json["items"]] == [job]
    assert admin.get(JOBS, robot=str(uuid.uuid4())).json["items"] == []


def test_a_trigger_names_its_robot_by_guid(admin: Caller, process: str, guid: str) -> None:
    for number, spelling in enumerate(spellings(guid)):
        made = admin.post(TRIGGERS, NIGHTLY | {"name": f"t{number}", "robot": spelling})
        assert (made.status_code, made.json.get("robot")) == (201, "r1"), made.text
    called = admin.post(TRIGGERS, NIGHTLY | {"name": "called", "kind": "call", "settings": {}, "robot": guid})
    assert (called.status_code, called.json.get("robot")) == (201, "r1"), called.text
    admin("PATCH", f"{TRIGGERS}/t0", json={"robot": "r2"})
    changed = admin("PATCH", f"{TRIGGERS}/t0", json={"robot": guid})
    assert (changed.status_code, changed.json.get("robot")) == (200, "r1"), changed.text


def test_a_list_of_sessions_is_asked_for_by_guid(admin: Caller, parts: Parts, guid: str) -> None:
    def work(tx: Any) -> None:
        for robot in tx.execute(Robot.__table__.select()).all():
            row = {"tenant_id": DEFAULT_TENANT, "public_id": str(uuid.uuid4()), "robot_id": robot.id}
            texts = {"node": "n1", "machine": "", "account": "", "backend": "", "state": "open"}
            tx.execute(insert(Session), row | texts | {"asked_at": tx.now, "outcome": "", "reason": ""})

    parts.transactions.run(work, tenant_id=DEFAULT_TENANT)
    for spelling in spellings(guid):
        assert [one["robot"] for one in admin.get("/api/v1/sessions", robot=spelling).json["items"]] == ["r1"]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_another_tenant_s_robot_is_nobody(
    caller: MakeToken, process: str, other_tenant: int, guid: str
) -> None:
    stranger = caller("admin", other_tenant)
    stranger.post("/api/v1/processes", {"name": process})
    publish(stranger, process)
    for path, order in ((JOBS, {"process": process}), (TRIGGERS, NIGHTLY)):
        refused = stranger.post(path, {**order, "robot": guid})
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "robot")


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_refusal_repeats_names_only(admin: Caller, process: str) -> None:
    unknown = str(uuid.uuid4())
    mistyped = [unknown[:-1], unknown.replace("-", ""), *spellings(unknown)]
    for key in mistyped:
        for path, order in ((JOBS, {"process": process}), (TRIGGERS, NIGHTLY)):
            refused = admin.post(path, {**order, "robot": key})
            assert refused.json["errors"] == [{"field": "robot", "message": "there is no such robot"}]
            assert key.strip().lower() not in refused.text.lower()
        for refused in (admin.get(f"/api/v1/robots/{key}"), admin.post(f"/api/v1/robots/{key}/pause")):
            assert (refused.status_code, refused.json["detail"]) == (404, "There is no such robot.")
    named = admin.post(JOBS, {"process": process, "robot": "nobody"})
    assert named.json["errors"] == [{"field": "robot", "message": "there is no robot 'nobody'"}]
