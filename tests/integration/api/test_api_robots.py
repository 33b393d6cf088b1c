"""Robots over REST v1."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from sqlalchemy import select

from orchestrator.audit import AuditRecord
from orchestrator.robots.model import Robot
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller

ROBOTS = "/api/v1/robots"


def stored(parts: Parts, *columns: Any) -> list[Any]:
    return parts.transactions.run(
        lambda tx: list(tx.execute(select(*columns)).all()), tenant_id=DEFAULT_TENANT, read_only=True
    )


def test_the_guid_is_told_once_and_kept_as_a_digest(admin: Caller, parts: Parts) -> None:
    made = admin.post(ROBOTS, {"name": "r1", "group": "accounting", "account": "robot1", "node": "n1"})
    assert made.status_code == 201
    robot = made.json
    assert robot["guid"] != robot["id"]
    assert (robot["kind"], robot["group"], robot["status"], robot["state"]) == (
        "unattended",
        "accounting",
        0,
        "Disconnected",
    )
    assert (robot["job"], robot["last_seen"], robot["paused"], robot["account"]) == (
        None,
        None,
        False,
        "robot1",
    )
    for key in (robot["id"], "r1", robot["guid"], robot["guid"].upper()):
        again = admin.get(f"{ROBOTS}/{key}").json
        assert (again["id"], again["guid"]) == (robot["id"], robot["id"])
    assert robot["guid"] not in str(stored(parts, *Robot.__table__.columns))
    assert robot["guid"] not in str(stored(parts, *AuditRecord.__table__.columns))


def test_a_robot_keeps_the_guid_that_it_had_elsewhere(admin: Caller) -> None:
    guid = "3F2504E0-4F89-41D3-9A0C-0305E82C3301"
    made = admin.post(ROBOTS, {"name": "r1", "guid": "{" + guid + "}"}).json
    assert made["guid"] == guid.lower()
    twice = admin.post(ROBOTS, {"name": "r2", "guid": guid})
    assert twice.status_code == 400
    assert twice.json["errors"] == [{"field": "guid", "message": "another robot has this GUID"}]


BAD_FIELDS: list[Any] = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "x" * 121}, "name"),
    ({"name": "a/b"}, "name"),
    ({"name": " a"}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": ".."}, "name"),
    ({"name": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}, "name"),
    ({"name": 7}, "name"),
    ({"name": "r1", "kind": "androgynous"}, "kind"),
    ({"name": "r1", "group": "g" * 101}, "group"),
    ({"name": "r1", "guid": "7"}, "guid"),
    ({"name": "r1", "colour": "red"}, "colour"),
    ([{"name": "r1"}], "body"),
    ("r1", "body"),
]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_bad_field_is_named_and_nothing_is_made(admin: Caller, subtests: pytest.Subtests) -> None:
    for body, field in BAD_FIELDS:
        with subtests.test(body=body):
            answer = admin.post(ROBOTS, body)
            assert answer.status_code == 400
            assert answer.content_type == "application/problem+json"
            assert [one["field"] for one in answer.json["errors"]] == [field]
            assert admin.get(ROBOTS).json["items"] == []


def test_a_taken_name_is_refused(admin: Caller) -> None:
    admin.post(ROBOTS, {"name": "r1"})
    answer = admin.post(ROBOTS, {"name": "r1"})
    assert (answer.status_code, answer.json["code"]) == (409, "already_exists")
    assert admin.post(ROBOTS, {"name": "R1"}).status_code == 201, "names differ by letter case"
    renamed = admin("PATCH", f"{ROBOTS}/R1", json={"name": "r1"})
    assert (renamed.status_code, renamed.json["code"]) == (409, "already_exists")


def test_a_change_touches_only_what_it_names(admin: Caller) -> None:
    admin.post(ROBOTS, {"name": "r1", "group": "g", "account": "a"})
    changed = admin("PATCH", f"{ROBOTS}/r1", json={"name": "r2", "kind": "attended"})
    assert changed.status_code == 200
    assert {key: changed.json[key] for key in ("name", "kind", "group", "account")} == {
        "name": "r2",
        "kind": "attended",
        "group": "g",
        "account": "a",
    }
    assert admin("PATCH", f"{ROBOTS}/r2", json={"group": None}).json["group"] is None
    for body, field in (({}, "body"), ({"kind": None}, "kind"), ({"id": "x"}, "id")):
        refused = admin("PATCH", f"{ROBOTS}/r2", json=body)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, field)


def test_pausing_and_resuming_said_twice_is_once(admin: Caller) -> None:
    admin.post(ROBOTS, {"name": "r1"})
    assert [admin.post(f"{ROBOTS}/r1/pause").json["paused"] for _ in range(2)] == [True, True]
    assert [admin.post(f"{ROBOTS}/r1/resume").json["paused"] for _ in range(2)] == [False, False]
    actions = [one["action"] for one in admin.get("/api/v1/audit", subject="r1").json["items"]]
    assert actions == ["robot.resume", "robot.pause", "robot.create"]


def test_a_secret_is_told_once_and_then_needed(admin: Caller, app: Any, process: str) -> None:
    guid = admin.post(ROBOTS, {"name": "r1"}).json["guid"]
    package = f"/api/v1/processes/{process}/versions/1/package"

    def fetch(credentials: str) -> int:
        basic = base64.b64encode(credentials.encode()).decode()
        return int(Caller(app.test_client(), f"Basic {basic}").get(package).status_code)

    assert [fetch(guid), fetch(f"{guid}:"), fetch(guid.upper())] == [200, 200, 200]
    secret = admin.post(f"{ROBOTS}/r1/secret").json["secret"]
    assert admin.get(f"{ROBOTS}/r1").json["has_secret"] is True
    assert [fetch(guid), fetch(f"{guid}:wrong"), fetch(f"{guid}:{secret}")] == [401, 401, 200]


def test_a_deleted_robot_is_gone_and_its_name_is_free(admin: Caller) -> None:
    admin.post(ROBOTS, {"name": "r1"})
    assert admin("DELETE", f"{ROBOTS}/r1").status_code == 204
    assert admin.get(f"{ROBOTS}/r1").status_code == 404
    assert admin("DELETE", f"{ROBOTS}/r1").status_code == 404
    assert admin.post(ROBOTS, {"name": "r1"}).status_code == 201


def test_lists_are_filtered_and_paged_newest_first(admin: Caller) -> None:
    for number in range(5):
        admin.post(ROBOTS, {"name": f"r{number}", "group": "even" if number % 2 == 0 else "odd"})
    admin.post(f"{ROBOTS}/r4/pause")
    names, cursor = [], None
    while True:
        page = admin.get(ROBOTS, limit=2, **({"cursor": cursor} if cursor else {})).json
        names += [robot["name"] for robot in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert names == ["r4", "r3", "r2", "r1", "r0"]

    def found(**filters: Any) -> list[str]:
        return [robot["name"] for robot in admin.get(ROBOTS, **filters).json["items"]]

    assert found(group="even") == ["r4", "r2", "r0"]
    assert found(group="even", paused="false") == ["r2", "r0"]
    assert found(name="r3") == ["r3"]
    assert found(status=2) == []
    for wrong in ({"limit": 0}, {"limit": 501}, {"limit": "x"}, {"cursor": "!"}, {"colour": "red"}):
        refused = admin.get(ROBOTS, **wrong)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, next(iter(wrong)))


def test_a_robot_is_found_by_where_it_runs(admin: Caller, app: Any) -> None:
    places = [
        {"Machine": "desk-1", "IP": "10.0.0.1", "MAC": "00:11:22:33:44:55"},
        {"Machine": "desk-2", "IP": "10.0.0.2", "MAC": "00:11:22:33:44:66"},
    ]
    for name, place in zip(("r1", "r2"), places, strict=True):
        guid = admin.post(ROBOTS, {"name": name}).json["guid"]
        robot = Caller(app.test_client(), "Basic " + base64.b64encode(guid.encode()).decode())
        beat = robot("POST", "/api/robot/heartbeat", data={"RobotGUID": guid, "Status": 2, **place})
        assert beat.status_code == 200
    for name, place in zip(("r1", "r2"), places, strict=True):
        for field, value in place.items():
            found = admin.get(ROBOTS, **{field.lower(): value})
            assert [robot["name"] for robot in found.json.get("items", [])] == [name], found.text


def test_presence_is_fresher_than_sql(admin: Caller, app: Any) -> None:
    guid = admin.post(ROBOTS, {"name": "r1"}).json["guid"]
    robot = Caller(app.test_client(), f"Basic {base64.b64encode(guid.encode()).decode()}")
    beat = {"RobotGUID": guid, "Status": "2", "Machine": "desk", "IP": "10.0.0.7", "MAC": "aa:bb"}
    assert robot("POST", "/api/robot/heartbeat", data=beat).json["HeartbeatErrorCode"] == 0
    seen = admin.get(f"{ROBOTS}/r1").json
    assert (seen["state"], seen["machine"], seen["ip"], seen["mac"]) == ("Ready", "desk", "10.0.0.7", "aa:bb")
    assert seen["last_seen"] is not None
