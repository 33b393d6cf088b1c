"""Sherpa's task API, called as the examples of its documentation call it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from orchestrator.robots import lifecycle as robots
from orchestrator.runs import lifecycle as runs
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller

QUEUE = "Invoices to check"
PARAMETERS = {"query_id": "123", "query_link": "D:\\CommonFolder\\Packet123.zip", "doc_type": "ПТС"}
Robot = Callable[[str], Caller]


@pytest.fixture
def queue(admin: Caller) -> str:
    """The GUID of a queue."""
    answer = admin.post("/api/queue/create", {"Name": QUEUE})
    assert answer.status_code == 200, answer.text
    return str(answer.json["guid"])


@pytest.fixture
def robot(app: Flask, admin: Caller, parts: Parts) -> Robot:
    """A robot in a run of its own, which authenticates as the document says."""

    def make(name: str) -> Caller:
        guid = admin.post("/api/v1/robots", {"name": name}).json["guid"]

        def work(tx: Any) -> None:
            job = SimpleNamespace(id=robots.existing(tx, name).id, guid=str(uuid.uuid4()), attempt=1)
            runs.begin(tx, job, robots.existing(tx, name).id, 1)

        parts.transactions.run(work, tenant_id=DEFAULT_TENANT)
        return Caller(app.test_client(), "Basic " + base64.b64encode(guid.encode()).decode())

    return make


def create(caller: Caller, queue: str, name: str = "New Task", **more: Any) -> str:
    answer = caller("POST", "/api/task/create", data={"queue_guid": queue, "name": name, **more})
    assert answer.status_code == 200, answer.text
    return str(answer.json["guid"])


def task(caller: Caller, key: str) -> dict[str, Any]:
    answer = caller.get(f"/api/task/read/{key}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def update(caller: Caller, guid: str, status: int | str | None = None, **more: Any) -> Any:
    told = {} if status is None else {"status": status}
    return caller("PUT", "/api/task/update", data={"guid": guid, **told, **more})


def test_the_example_of_the_document(robot: Robot, queue: str) -> None:
    one = robot("one")
    guid = create(one, queue, parameters=json.dumps(PARAMETERS))
    last = one.get(f"/api/queue/lastTask/{queue}").json
    assert (last["guid"], last["name"], json.loads(last["parameters"])) == (guid, "New Task", PARAMETERS)
    answer = update(one, guid, 1)
    assert (answer.status_code, answer.json) == (200, [])
    assert one.get(f"/api/queue/lastTask/{queue}").json == []
    assert update(one, guid, 2).json == []
    assert task(one, guid)["status"] == "2"


@pytest.mark.parametrize(
    "body",
    [
        {"queue_guid": QUEUE, "name": "a", "parameters": json.dumps(PARAMETERS)},
        {"QueueGuid": QUEUE, "Name": "a", "Parameters": PARAMETERS},
        {"queueGuid": QUEUE, "name": "a", "parameters": PARAMETERS, "unknown": 1},
    ],
)
def test_fields_are_read_in_every_spelling(admin: Caller, queue: str, body: dict[str, Any]) -> None:
    guid = admin.post("/api/task/create", body).json["guid"]
    found = task(admin, "a")
    assert (found["guid"], found["queue_guid"], json.loads(found["parameters"])) == (guid, queue, PARAMETERS)


def test_a_field_in_two_spellings_is_refused(admin: Caller, queue: str) -> None:
    answer = admin.post("/api/task/create", {"QueueGuid": queue, "queue_guid": queue, "Name": "a"})
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


def test_two_tasks_may_have_one_name_unless_the_queue_says_no(admin: Caller, queue: str) -> None:
    first = create(admin, queue)
    assert create(admin, queue) != first
    assert task(admin, "New Task")["guid"] == first
    admin("PUT", "/api/queue/update", data={"Guid": QUEUE, "UniqueTasks": 1})
    create(admin, queue, "only one")
    again = admin.post("/api/task/create", {"queue_guid": queue, "name": "only one"})
    assert (again.status_code, again.json["code"]) == (409, "already_exists")


def test_two_robots_never_get_the_same_task(robot: Robot, admin: Caller, queue: str) -> None:
    guids = [create(admin, queue, f"task {number}") for number in range(4)]
    one, other = robot("one"), robot("other")
    got = [
        caller.post(f"/api/task/filter/read/{queue}", {"Name": "task *", "TakeToWork": 0}).json["guid"]
        for caller in (one, other)
    ]
    assert got == [guids[0], guids[0]]  # both only looked
    taken = [caller.post(f"/api/task/filter/read/{QUEUE}").json["guid"] for caller in (one, other) * 2]
    assert taken == guids
    assert one.post(f"/api/task/filter/read/{queue}").json == []


def test_another_robots_task_is_refused(robot: Robot, queue: str) -> None:
    one, other = robot("one"), robot("other")
    guid = create(one, queue)
    assert update(one, guid, 1).status_code == 200
    for status in (0, 1, 2, 3, 5):
        answer = update(other, guid, status, postpone_until="01.03.2100 10:00")
        assert (answer.status_code, answer.mimetype) == (409, "application/problem+json"), status
    assert task(one, guid)["status"] == "1"


@pytest.mark.parametrize(("status", "kept"), [(3, "3"), ("Failed_Business", "4"), (6, "6"), ("Success", "2")])
def test_ends_of_a_task(robot: Robot, queue: str, status: int | str, kept: str) -> None:
    one = robot("one")
    guid = create(one, queue)
    update(one, guid, 1)
    assert update(one, guid, status, Comment="broken", Parameters='{"a": 1}').status_code == 200
    found = task(one, guid)
    assert (found["status"], found["comment"], found["parameters"]) == (kept, "broken", '{"a": 1}')
    listed = one.post(f"/api/task/filter/list/{queue}", {"Status": status}).json
    assert [item["guid"] for item in listed] == [guid]


def test_a_postponed_task_is_not_served_and_given_back_it_is(robot: Robot, queue: str) -> None:
    one, other = robot("one"), robot("other")
    guid = create(one, queue)
    update(one, guid, 1)
    assert update(one, guid, 5).status_code == 400
    assert update(one, guid, 5, PostponeUntil="01.03.2100 10:30").status_code == 200
    found = task(other, guid)
    assert (found["status"], found["postpone_until"]) == ("5", "2100-03-01 10:30:00")
    assert other.get(f"/api/queue/lastTask/{queue}").json == []
    assert update(other, guid, 0).status_code == 200
    assert other.get(f"/api/queue/lastTask/{queue}").json["guid"] == guid


def test_filters(admin: Caller, robot: Robot, queue: str) -> None:
    low = create(admin, queue, "low", Priority="Low", Tags="new;blue;")
    high = create(admin, queue, "high", Priority="High", Tags="new")
    one = robot("one")

    def listed(**filters: Any) -> list[str]:
        answer = one.post("/api/task/filter/list", {"QueueGuid": QUEUE, **filters})
        assert answer.status_code == 200, answer.text
        return [item["guid"] for item in answer.json]

    assert listed() == [low, high]
    assert listed(Priority="high") == [high]
    assert listed(Tags="+new;-blue") == [high]
    assert listed(Tags="blue;red") == [low]
    assert listed(Offset=1) == [high]
    assert listed(Limit=1) == [low]
    assert listed(Name="h?gh") == [high]
    assert listed(CreatedAfter="01.01.2100 00:00:00") == []
    assert one.post(f"/api/task/filter/list/{queue}/Name=low").json[0]["guid"] == low
    assert one.post(f"/api/task/filter/read/{queue}/Tags=%2Bblue").json["guid"] == low
    assert one.get(f"/api/queue/lastTask/{queue}").json["guid"] == high


def test_tags_are_added_and_removed(admin: Caller, queue: str) -> None:
    guid = create(admin, queue, "tagged", tags="old")
    admin("PUT", "/api/task/addTag", json={"TaskGuid": guid, "TagNames": "test;mytask;"})
    assert task(admin, guid)["tags"] == "old;test;mytask"
    admin("DELETE", "/api/task/removeTag", json={"TaskGuid": "tagged", "TagNames": "test;"})
    assert task(admin, guid)["tags"] == "old;mytask"
    admin("DELETE", "/api/task/removeTag", data={"TaskGuid": guid, "TagNames": "*"})
    assert task(admin, guid)["tags"] == ""


def test_a_task_is_deleted(admin: Caller, queue: str) -> None:
    guid = create(admin, queue)
    assert admin("DELETE", f"/api/task/delete/{guid}").json == {"result": "1"}
    assert admin.get(f"/api/task/read/{guid}").status_code == 404
    assert admin("DELETE", "/api/task/delete", data={"guid": guid}).status_code == 404


@pytest.mark.parametrize("parameters", ["plain text", '["a", {"b": 1}]'])
def test_parameters_that_are_no_object_come_back(admin: Caller, queue: str, parameters: str) -> None:
    guid = create(admin, queue, parameters=parameters)
    assert task(admin, guid)["parameters"] == parameters


def test_what_is_left_out_of_an_update_stays(admin: Caller, queue: str) -> None:
    guid = create(admin, queue, description="d", comment="c", parameters='{"a": 1}', priority=2)
    assert update(admin, guid, Comment="new", Name="renamed").status_code == 200
    found = task(admin, "renamed")
    kept = (found["description"], found["comment"], found["parameters"], found["priority"])
    assert kept == ("d", "new", '{"a": 1}', "2")


def test_a_task_of_another_program_is_a_task(admin: Caller, queue: str) -> None:
    order = {"value": "any", "reference": "R-1", "parameters": {"a": 1}}
    admin.post(f"/api/v1/queues/{queue}/resources", order)
    found = task(admin, "R-1")
    assert (found["name"], found["status"], found["parameters"]) == ("R-1", "0", '{"a": 1}')
    assert update(admin, "R-1", Description="mine").status_code == 400


@pytest.mark.parametrize("field", [{"status": 7}, {"status": "odd"}, {"priority": "?"}, {"deadline": "soon"}])
def test_a_malformed_field_is_named(admin: Caller, queue: str, field: dict[str, Any]) -> None:
    answer = update(admin, create(admin, queue), **field)
    assert answer.status_code == 400
    assert answer.json["errors"][0]["field"] == next(iter(field))


def test_filters_name_a_task_and_its_queue_in_any_form(admin: Caller, queue: str) -> None:
    guid = create(admin, queue, "t2")
    create(admin, queue, "t1")
    create(admin, queue, "[t]1")
    for key in ("t2", guid, "{" + guid.upper() + "}"):
        for named in (queue, "{" + queue.upper() + "}", QUEUE):
            path = f"/api/task/filter/list/{named}"
            found = admin("POST", path, data={"TaskGuid": key, "Status": "", "Limit": ""})
            assert [one["guid"] for one in found.json] == [guid], found.text
    names = admin("POST", f"/api/task/filter/list/{queue}", data={"Name": "[t]*"}).json
    assert [one["name"] for one in names] == ["[t]1"], "brackets are no wildcards"


def test_a_call_for_one_thing_knows_it_by_either_name(admin: Caller, queue: str) -> None:
    guid = create(admin, queue)
    assert admin.get("/api/queue/read", QueueGuid=queue).json == admin.get("/api/queue/read", guid=queue).json
    assert admin.get("/api/task/read", TaskGuid=guid).json["guid"] == guid
    assert admin("PUT", "/api/task/update", data={"task_guid": guid, "comment": "c"}).status_code == 200
    assert admin("PUT", "/api/task/addTag", data={"Guid": guid, "TagNames": "a"}).status_code == 200
    assert task(admin, guid)["comment"] == "c"
    assert admin("PUT", "/api/queue/update", data={"QueueGuid": queue, "name": "Other"}).status_code == 200
