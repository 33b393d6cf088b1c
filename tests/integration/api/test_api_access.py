"""Who may do what: tokens, roles, robots, and the wall between tenants."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select

from orchestrator.api.auth import Policy, policy_of
from orchestrator.api.operations import OPENAPI
from orchestrator.robots import lifecycle as robots
from orchestrator.sessions.model import Session
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.tokens.model import ApiToken
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken, publish

sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
SESSION = "5e55104e-0000-4000-8000-000000000001"
ROLES = ("admin", "operator", "viewer", "node")


def routes(app: Flask, policy: Policy) -> list[tuple[str, str]]:
    """(method, path with names that nothing has) of every route with this policy."""
    found = []
    for rule in app.url_map.iter_rules():
        if policy_of(app.view_functions[rule.endpoint]) is policy:
            path = rule.rule
            for name in rule.arguments:
                path = path.replace(next(p for p in path.split("/") if p.endswith(f"{name}>")), "1")
            found += [(method, path) for method in (rule.methods or set()) - {"HEAD"}]
    return found


@sqlite
def test_each_role_may_do_what_its_policy_says(
    app: Flask, caller: MakeToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.auth.FRESH_SECONDS", 3600.0)  # one of the calls revokes a token
    callers = {role: caller(role) for role in ROLES}
    for policy in (Policy.ADMIN, Policy.OPERATOR, Policy.VIEWER, Policy.VIEWER_OR_ROBOT, Policy.NODE):
        listed = routes(app, policy)
        assert listed
        for method, path in listed:
            for role, call in callers.items():
                status = call(method, path).status_code
                assert (status != 403) == (role in policy.value), f"{role} {method} {path}: {status}"


STRANGERS: list[Any] = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    "bearer \x7f",
    "Basic",
    "Basic !",
    "Basic " + "QQ==",
    "Digest x",
    "x",
]


@sqlite
def test_a_stranger_is_asked_who_he_is(app: Flask, subtests: pytest.Subtests) -> None:
    for authorization in STRANGERS:
        with subtests.test(authorization=authorization):
            for policy in (Policy.ADMIN, Policy.VIEWER, Policy.VIEWER_OR_ROBOT, Policy.NODE):
                method, path = routes(app, policy)[0]
                answer = Caller(app.test_client(), authorization)(method, path)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert answer.json is not None and answer.json["code"] == "unauthenticated"


@sqlite
def test_public_addresses_ask_nothing(app: Flask) -> None:
    client = app.test_client()
    for path in ("/healthz", "/readyz", "/openapi.json", "/robot.pyz", "/metrics"):
        assert client.get(path).status_code == 200, path
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 401
    assert client.get("/metrics", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}).status_code == 401


def test_a_token_works_until_it_is_revoked(
    admin: Caller, app: Flask, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.auth.FRESH_SECONDS", 0.0)
    made = admin.post("/api/v1/tokens", {"role": "viewer", "name": "screen"})
    assert made.status_code == 201
    token = made.json
    screen = Caller(app.test_client(), f"Bearer {token['token']}")
    assert screen.get("/api/v1/jobs").status_code == 200
    assert screen.get("/api/v1/tokens").status_code == 403

    def rows(tx: Any) -> list[Any]:
        return list(tx.execute(select(*ApiToken.__table__.columns)).all())

    assert token["token"] not in str(parts.transactions.run(rows, tenant_id=DEFAULT_TENANT))
    (listed,) = admin.get("/api/v1/tokens").json["items"]
    assert listed == {key: value for key, value in token.items() if key != "token"}
    assert admin("DELETE", f"/api/v1/tokens/{token['id']}").status_code == 204
    assert admin("DELETE", f"/api/v1/tokens/{token['id']}").status_code == 204
    assert screen.get("/api/v1/jobs").status_code == 401
    assert admin("DELETE", f"/api/v1/tokens/{2**63 - 1}").status_code == 404


def a_session(parts: Parts, robot: str, machine: str = "") -> str:
    """The id of a session of our robot."""

    def work(tx: Any) -> None:
        row = dict.fromkeys(("node", "account", "backend", "reason", "outcome"), "") | {"machine": machine}
        row |= {"public_id": SESSION, "robot_id": robots.existing(tx, robot).id, "state": "open"}
        tx.execute(insert(Session), row | {"tenant_id": tx.tenant_id, "asked_at": tx.now})

    parts.transactions.run(work, tenant_id=DEFAULT_TENANT)
    return SESSION


def test_another_tenant_finds_nothing_of_ours(
    app: Flask, admin: Caller, process: str, caller: MakeToken, other_tenant: int, parts: Parts
) -> None:
    """Every route, with the ids of our things, as another tenant's administrator and as its node."""
    robot = admin.post("/api/v1/robots", {"name": "r1", "group": "g"}).json
    job = admin.post("/api/v1/jobs", {"process": process}).json["guid"]
    task = admin.post("/api/v1/tasks", {"activity": "botswain.echo"}).json["id"]
    token = admin.post("/api/v1/tokens", {"role": "viewer"}).json["id"]
    named = {"robot": robot["id"], "process": process, "job": job, "task": task, "number": 1, "token": token}
    named["session"] = a_session(parts, "r1")
    named["queue"] = admin.post("/api/v1/queues", {"name": "q1"}).json["id"]
    named["semaphore"] = admin.post("/api/v1/semaphores", {"name": "SAP", "permits": 3}).json["id"]
    named["resource"] = admin.post(f"/api/v1/queues/{named['queue']}/resources", {"value": 1}).json["id"]
    rule = {"name": "nightly", "process": process, "kind": "interval", "settings": {"seconds": 60}}
    named["calendar"] = admin.post("/api/v1/calendars", {"name": "office"}).json["id"]
    named["trigger"] = admin.post("/api/v1/triggers", rule).json["id"]
    named["secret"] = "bstr_of_another"
    strangers = [caller("admin", other_tenant), caller("node", other_tenant)]
    bodies = {
        "change_robot": {"name": "mine"},
        "change_process": {"description": "mine"},
        "start_task": {"fence": 1, "node": "n"},
        "renew_task": {"fence": 1, "node": "n"},
        "finish_task": {"fence": 1},
        "change_queue": {"description": "mine"},
        "change_semaphore": {"permits": 9},
        "change_process_limits": {"max_concurrent": 1},
        "give_trigger_secret": {},
        "create_resources": {"value": 2},
        "take_resource": {},
        "change_resource": {"priority": 1},
        "lock_resource": {},
        "unlock_resource": {},
        "finish_resource": {},
        "postpone_resource": {"for_seconds": 1},
        "change_trigger": {"priority": 1},
        "test_trigger": {"fire": True},
        "change_calendar": {"weekdays": [1]},
        "session_opened": {"node": "n"},
        "session_closed": {"node": "n", "outcome": "closed"},
    }
    called = 0
    for path, operations in json.loads(app.extensions[OPENAPI]())["paths"].items():
        if "{" not in path or "{node}" in path or not path.startswith("/api/v1/"):
            continue
        for method, operation in operations.items():
            name = operation["operationId"]
            statuses = set()
            for stranger in strangers:
                content: dict[str, Any] = {"json": bodies[name]} if name in bodies else {}
                if name == "publish_version":
                    content = {"data": {"package": (io.BytesIO(b"print(2)\n"), "main.py")}}
                answer = stranger(method.upper(), path.format(**named), **content)
                statuses.add(answer.status_code)
            assert statuses <= {404, 403} and 404 in statuses, f"{method} {path}: {statuses}"
            called += 1
    assert called >= 20
    stranger = strangers[0]
    lists = ("robots", "processes", "jobs", "tasks", "sessions", "triggers", "calendars", "semaphores")
    for path in lists:
        assert stranger.get(f"/api/v1/{path}").json == {"items": [], "next": None}
    assert stranger.get("/api/v1/robots/" + robot["guid"]).status_code == 404
    assert [one["name"] for one in stranger.get("/api/v1/tokens").json["items"]] == ["a node", "a admin"]
    assert {one["action"] for one in stranger.get("/api/v1/audit").json["items"]} == {"token.create"}
    retried = stranger.post("/api/v1/tasks/retry", {"ids": [task]})
    assert retried.status_code == 404
    assert admin.get("/api/v1/robots/r1").json["name"] == "r1", "nothing of it had an effect"
    assert admin.get(f"/api/v1/sessions/{SESSION}").json["state"] == "open"


def test_names_are_each_tenants_own(
    admin: Caller, process: str, caller: MakeToken, other_tenant: int, app: Flask
) -> None:
    other = caller("admin", other_tenant)
    guid = other.post("/api/v1/robots", {"name": "r1"}).json["guid"]
    admin.post("/api/v1/robots", {"name": "r1"})
    assert other.post("/api/v1/processes", {"name": process}).status_code == 201
    publish(other, process, b"print('theirs')\n")
    theirs = other.get(f"/api/v1/processes/{process}/versions/1/package").data
    ours = admin.get(f"/api/v1/processes/{process}/versions/1/package").data
    assert (theirs, ours) == (b"print('theirs')\n", b"print(1)\n")
    their_robot = Caller(app.test_client(), f"Basic {base64.b64encode(guid.encode()).decode()}")
    assert their_robot.get(f"/api/v1/processes/{process}/versions/1/package").data == theirs


def test_a_robot_reads_packages_and_nothing_else(app: Flask, admin: Caller, process: str) -> None:
    guid = admin.post("/api/v1/robots", {"name": "r1"}).json["guid"]
    robot = Caller(app.test_client(), f"Basic {base64.b64encode(guid.encode()).decode()}")
    assert robot.get(f"/api/v1/processes/{process}/versions/1/package").status_code == 200
    for path in ("robots", "robots/r1", "jobs", "processes", "tokens", "cluster"):
        assert robot.get(f"/api/v1/{path}").status_code == 403
