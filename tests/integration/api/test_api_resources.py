"""Resources over REST v1: filters, fences, and locks that one lifts of one's own."""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from orchestrator.insights import resources as seen
from orchestrator.robots import lifecycle as robots
from orchestrator.runs import lifecycle as runs
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller
from tests.integration.api.test_api_access import a_session

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)

V1 = "/api/v1"
WIDEST = 2**53 - 1
Robot = Callable[[str], Caller]
New = Callable[..., str]


@pytest.fixture
def robot(app: Flask, admin: Caller, parts: Parts) -> Robot:
    """A robot in a run of its own."""

    def make(name: str) -> Caller:
        guid = admin.post(f"{V1}/robots", {"name": name}).json["guid"]

        def work(tx: Any) -> None:
            number = robots.existing(tx, name).id
            runs.begin(tx, SimpleNamespace(id=number, guid=str(uuid.uuid4()), attempt=1), number, 1)

        parts.transactions.run(work, tenant_id=DEFAULT_TENANT)
        return Caller(app.test_client(), "Basic " + base64.b64encode(guid.encode()).decode())

    return make


@pytest.fixture
def new(admin: Caller) -> New:
    """The id of a new resource in the queue `q`."""
    admin.post(f"{V1}/queues", {"name": "q"})

    def make(**given: Any) -> str:
        made = admin.post(f"{V1}/queues/q/resources", given)
        assert made.status_code == 201, made.text
        return str(made.json["id"])

    return make


# Fences -------------------------------------------------------------------------------------------------


def test_a_fence_is_checked_when_one_reads(robot: Robot, new: New) -> None:
    path, one, other = f"{V1}/resources/{new()}", robot("one"), robot("other")
    first = one.post(f"{path}/lock", {"lock": "write"}).json["fence"]
    own = one.get(path, fence=first)
    assert (own.status_code, own.json) == (200, one.get(path).json)
    one.post(f"{path}/unlock", {})
    second = other.post(f"{path}/lock", {"lock": "write"}).json["fence"]
    late = one.get(path, fence=first)
    assert (late.status_code, late.json["code"]) == (409, "stale_fence")
    assert late.json["detail"] == one("PATCH", path, json={}, query_string={"fence": first}).json["detail"]
    assert one.get(path, fence=second).status_code == 200, "a fence is no lock: reading is free"
    assert one.get(path, fence=first, wait_seconds=5).json["code"] == "stale_fence", "at once, whoever waits"


# Changing -----------------------------------------------------------------------------------------------


def test_a_reference_that_another_has_is_refused_as_that(admin: Caller, new: New) -> None:
    new(reference="taken")
    path = f"{V1}/resources/{new(reference='own')}"
    refused = admin("PATCH", path, json={"reference": "taken"})
    assert (refused.status_code, refused.json["code"]) == (409, "already_exists"), refused.text
    assert "'taken'" in refused.json["detail"]
    assert admin("PATCH", path, json={"reference": "own"}).status_code == 200
    assert admin("PATCH", path, json={"reference": "free"}).json["reference"] == "free"


def test_what_a_person_sets_right_has_no_error_any_more(admin: Caller, robot: Robot, new: New) -> None:
    path, one = f"{V1}/resources/{new()}", robot("one")
    one.post(f"{V1}/queues/q/take", {"lock": "read"})
    one.post(f"{path}/finish", {"status": "Error", "error": "no such client", "error_kind": "business"})
    right = admin("PATCH", path, json={"status": "Processed"}).json
    assert (right["status"], right["error"], right["error_kind"]) == ("Processed", None, None)
    again = admin("PATCH", path, json={"status": "New"}).json
    assert (again["status"], again["result"], again["error"]) == ("New", None, None)


# Unlocking ----------------------------------------------------------------------------------------------


def locks(caller: Caller, path: str) -> dict[str, str | None]:
    found = caller.get(path).json["locks"]
    return {mode: lock and lock["initiator"]["id"] for mode, lock in found.items()}


def test_one_lifts_ones_own_of_two_locks_and_leaves_anothers(admin: Caller, robot: Robot, new: New) -> None:
    path, one, other = f"{V1}/resources/{new()}", robot("one"), robot("other")
    one.post(f"{path}/lock", {"lock": "write"})
    other.post(f"{path}/lock", {"lock": "read"})
    before = locks(admin, path)
    assert one.post(f"{path}/unlock", {"lock": "read"}).json["code"] == "locked", "another's, by its name"
    assert locks(admin, path) == before
    assert one.post(f"{path}/unlock", {"lock": "both"}).status_code == 200
    assert locks(admin, path) == {"read": before["read"], "write": None}
    refused = one.post(f"{path}/unlock", {})
    assert (refused.status_code, refused.json["code"]) == (409, "locked"), "none of them is one's own"
    assert refused.json["holder"]["id"] == before["read"]
    events = admin.get(f"{path}/history").json["items"]
    assert [one["detail"]["locks"] for one in events if one["event"] == "unlock"] == [["write"]]
    one.post(f"{path}/lock", {"lock": "write"})
    assert admin.post(f"{path}/unlock").status_code == 200
    assert locks(admin, path) == {"read": None, "write": None}, "a person lifts anybody's"
    assert one.post(f"{path}/unlock").status_code == 200, "what is not there needs no lifting"


def test_locking_and_unlocking_take_no_body(admin: Caller, robot: Robot, new: New) -> None:
    path, one = f"{V1}/resources/{new()}", robot("one")
    assert one.post(f"{path}/lock").json["fence"] == 1
    assert None not in locks(admin, path).values()
    again = [one.post(f"{path}/unlock", headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in again] == [200, 200]
    assert locks(admin, path) == {"read": None, "write": None}
    paths = admin.get("/openapi.json").json["paths"]
    required = {
        verb: paths[f"{V1}/resources/{{resource}}/{verb}"]["post"]["requestBody"]["required"]
        for verb in ("lock", "unlock", "finish")
    }
    assert required == {"lock": False, "unlock": False, "finish": True}
    assert one.post(f"{path}/finish").json["errors"][0]["field"] == "body", "an end has to be said"


# Filters ------------------------------------------------------------------------------------------------


def test_resources_are_filtered_by_their_fields(admin: Caller, new: New) -> None:
    plain, urgent = new(tags=["a b", "c"]), new(priority=7, tags=["a b"])
    top = new(priority=WIDEST, tags=["c"])

    def ids(**query: Any) -> list[str]:
        answer = admin.get(f"{V1}/queues/q/resources", **query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json["items"]]

    assert ids(priority=0) == [plain]
    assert ids(priority=7) == [urgent]
    assert ids(priority=WIDEST) == [top]
    assert ids(tags="a b") == [urgent, plain] == ids(tag="a b")
    assert ids(tags="a b", tag="c") == [plain]
    assert ids(tags="c", priority=7) == []
    where = json.dumps({"tags": {"any": ["c"]}, "priority": {"lt": 9}})
    assert ids(where=where, tags="a b") == [plain], "what is named beside it must hold as well"
    assert ids(where=where) == [plain]
    for query in ({"priority": -1}, {"priority": "x"}, {"where": "[]"}, {"priority": WIDEST + 1}):
        refused = admin.get(f"{V1}/queues/q/resources", **query)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, *query)


def test_queues_and_sessions_are_filtered_by_their_fields(admin: Caller, parts: Parts) -> None:
    for name in ("one", "two"):
        admin.post(f"{V1}/queues", {"name": name})
    assert [item["name"] for item in admin.get(f"{V1}/queues", name="one").json["items"]] == ["one"]
    assert admin.get(f"{V1}/queues", name="three").json["items"] == []
    admin.post(f"{V1}/robots", {"name": "r1"})
    session = a_session(parts, "r1", machine="desk")
    assert [item["id"] for item in admin.get(f"{V1}/sessions", machine="desk").json["items"]] == [session]
    assert admin.get(f"{V1}/sessions", machine="lap").json["items"] == []


# Priorities ---------------------------------------------------------------------------------------------


def test_a_priority_is_as_wide_as_a_number_that_json_keeps_whole(admin: Caller, new: New) -> None:
    low, high = new(priority=2**31), new(priority=WIDEST)
    assert admin.get(f"{V1}/resources/{high}").json["priority"] == WIDEST
    assert admin.post(f"{V1}/queues/q/take", {"lock": "none"}).json["id"] == high
    path = f"{V1}/resources/{low}"
    assert admin("PATCH", path, json={"priority": 2**40}).json["priority"] == 2**40
    refused = admin("PATCH", path, json={"priority": WIDEST + 1})
    (error,) = refused.json["errors"]
    assert (refused.status_code, error["field"]) == (400, "priority")
    assert str(WIDEST) in error["message"]
    document = admin.get("/openapi.json")
    assert re.search(r'"[gl][et]":', document.text) is None, "these are no words of JSON Schema"
    schemas = document.json["components"]["schemas"]
    limits = {
        form: schemas[form]["properties"]["priority"] for form in ("ResourceIn", "ResourceChange", "JobIn")
    }
    assert {form: (said["minimum"], said["maximum"]) for form, said in limits.items()} == {
        "ResourceIn": (0, WIDEST),
        "ResourceChange": (0, WIDEST),
        "JobIn": (0, 100),
    }


def test_a_reference_twice_in_one_list_is_named_with_its_place(admin: Caller, new: New) -> None:
    new(reference="another's")
    orders = [{"reference": "a"}, {"value": 1}, {"reference": "a"}]
    refused = admin("POST", f"{V1}/queues/q/resources", json=orders)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "2.reference")


# History ------------------------------------------------------------------------------------------------


def test_a_history_comes_in_pages_in_order(admin: Caller, robot: Robot, new: New) -> None:
    path, one, other = f"{V1}/resources/{new()}", robot("one"), robot("other")
    one.post(f"{path}/lock", {"lock": "write"})
    for value in range(3):
        assert other("PATCH", path, json={"value": value}).status_code == 409
    whole = admin.get(f"{path}/history").json
    assert [line["event"] for line in whole["items"]] == ["create", "lock", "refused", "refused", "refused"]
    assert whole["next"] is None
    found: list[Any] = []
    cursor: dict[str, Any] = {}
    for size in (2, 2, 1):
        page = admin.get(f"{path}/history", limit=2, **cursor).json
        assert len(page["items"]) == size
        found, cursor = found + page["items"], {"cursor": page["next"]}
    assert found == whole["items"] and cursor == {"cursor": None}


# Lists --------------------------------------------------------------------------------------------------


def test_a_search_that_finds_little_is_answered_in_pages_that_lead_on(
    admin: Caller, new: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "CHUNK", 2)
    monkeypatch.setattr(seen, "LOOKED_AT", 4)
    wanted = [new(priority=9), *[new() for _ in range(9)], new(priority=9)][::10]
    queue = admin.get(f"{V1}/resources/{wanted[0]}").json["queue"]
    found: list[str] = []
    sizes: list[int] = []
    cursor: dict[str, Any] = {}
    while True:
        page = admin.get(f"{V1}/queues/{queue}/resources", priority=9, **cursor).json
        found += [one["id"] for one in page["items"]]
        sizes.append(len(page["items"]))
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert found == wanted[::-1]
    assert sizes == [1, 0, 1]
