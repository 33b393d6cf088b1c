"""What a robot can do with resources, and how they are found: Robin's list, one by one."""

from datetime import UTC, datetime, timedelta
from json import dumps
from typing import Any

import pytest

from tests.acceptance.resources.actors import Person, Run, new_queue

FIELDS = {
    "reference": "inv-1",
    "value": {"path": "c:/in", "pages": [1, 2.5, None, True]},
    "tags": ["urgent", "x" * 30],
    "priority": 7,
    "parameters": {"region": "ES", "total": 12.5},
}


def test_a_robot_creates_changes_reads_and_deletes(person: Person, one: Run, queue: str) -> None:
    answer = one.post(f"/queues/{queue}/resources", **FIELDS)
    made = answer.json()
    assert answer.status_code == 201 and made["queue"] == queue and made["status"] == "New"
    assert {name: made[name] for name in FIELDS} == FIELDS
    assert (made["attempt"], made["locks"]) == (0, {"read": None, "write": None})
    assert one.read(made["id"]).json() == made
    changes: dict[str, Any] = {"value": None, "tags": [], "priority": 0, "parameters": {"done": False}}
    changed = one.change(made["id"], changes).json()
    assert {name: changed[name] for name in changes} == changes and changed["reference"] == "inv-1"
    assert changed["created_at"] == made["created_at"] and changed["updated_at"] >= made["updated_at"]
    assert one.send("PATCH", f"/resources/{made['id']}", json={"id": made["id"]}).status_code == 400
    assert one.search(queue) == [made["id"]]
    assert one.delete(made["id"]).status_code == 204
    assert one.read(made["id"]).status_code == 404 and one.search(queue) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tags", ["x" * 31]),
        ("tags", [""]),
        ("priority", -1),
        ("priority", 1.5),
        ("parameters", []),
        ("postpone_until", "soon"),
        ("id", "mine"),
    ],
)
def test_a_field_at_fault_is_named_and_nothing_is_made(
    person: Person, one: Run, queue: str, field: str, value: Any
) -> None:
    answer = one.send("POST", f"/queues/{queue}/resources", json=[{"value": 1}, {field: value}])
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"].startswith(f"1.{field}"), answer.text
    assert person.search(queue) == []


def test_a_list_is_made_whole_or_not_at_all(person: Person, one: Run, queue: str) -> None:
    many = [{"value": number, "reference": f"r{number}"} for number in range(1000)]
    assert one.send("POST", f"/queues/{queue}/resources", json=[*many, {"value": 0}]).status_code == 400
    assert person.send("GET", f"/queues/{queue}").json()["counts"]["New"] == 0
    assert len(one.create(queue, *many)) == 1000
    answer = one.send("POST", f"/queues/{queue}/resources", json=[{"value": 1}, {"reference": "r999"}])
    assert (answer.status_code, answer.json()["code"]) == (409, "already_exists")
    assert person.send("GET", f"/queues/{queue}").json()["counts"]["New"] == 1000
    assert one.taken(queue)["value"] == 0


def test_a_reference_that_is_there_is_answered_where_the_queue_says_so(person: Person, one: Run) -> None:
    queue = new_queue(person, on_duplicate="return")
    (first,) = one.create(queue, {"reference": "a", "value": 1})
    again, fresh = one.create(queue, {"reference": "a", "value": 2}, {"reference": "b"})
    assert again == first != fresh
    assert person.look(first)["value"] == 1


def test_a_value_is_held_to_the_queue_s_schema(person: Person, one: Run) -> None:
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
    queue = new_queue(person, json_schema=schema)
    one.create(queue, {"value": {"total": 1}})
    answer = one.send("POST", f"/queues/{queue}/resources", json=[{"value": {"total": "x"}}])
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "value.total"
    refused = person.post("/queues", name="never", json_schema={"type": 3})
    assert refused.json()["errors"][0]["field"] == "json_schema.type"


def test_a_value_is_held_to_the_schema_when_it_is_changed_too(person: Person, one: Run) -> None:
    queue = new_queue(person, json_schema={"type": "string"})
    one.create(queue, {"value": "x"})
    taken = one.taken(queue, lock="both")
    for who in (one, person):
        answer = who.send("PATCH", f"/resources/{taken['id']}", json={"value": 5})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "value")
    assert one.send("PATCH", f"/resources/{taken['id']}", json={"value": "y"}).json()["value"] == "y"


def test_finishing_says_result_or_error_and_releases_in_one_step(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    good, bad = person.create(queue, {}, {})
    one.taken(queue, lock="both")
    done = one.finish(good, result={"n": 1}).json()
    assert (done["status"], done["result"], done["locks"]) == (
        "Processed",
        {"n": 1},
        {"read": None, "write": None},
    )
    one.taken(queue, lock="both", for_seconds=60)
    failed = one.finish(bad, status="Error", error="no such customer", error_kind="business").json()
    assert (failed["status"], failed["error"], failed["error_kind"]) == (
        "Error",
        "no such customer",
        "business",
    )
    assert failed["locks"] == {"read": None, "write": None}
    assert [e["event"] for e in person.history(bad)] == ["create", "take", "fail"]
    # Said again, since the answer may be lost, it changes nothing; another outcome is refused.
    assert one.finish(good, result={"n": 1}).json() == done
    assert one.finish(good, result={"n": 2}).status_code == other.finish(good).status_code == 409
    assert [e["event"] for e in person.history(good)] == ["create", "take", "finish", "refused", "refused"]


def test_only_the_run_that_works_on_it_finishes_it(person: Person, one: Run, other: Run, queue: str) -> None:
    (resource,) = person.create(queue, {})
    one.taken(queue, lock="read")
    assert other.change(resource, {"value": 1}).status_code == 200  # a read lock stops no change
    assert other.finish(resource).status_code == 409
    assert person.finish(resource, result="by hand").json()["status"] == "Processed"


def test_the_highest_priority_is_served_first_and_equals_in_order(
    person: Person, one: Run, queue: str
) -> None:
    low, high, also_high, first_low = person.create(
        queue, {"priority": 1}, {"priority": 9}, {"priority": 9}, {"priority": 1}
    )
    person.change(first_low, {"status": "Error"})
    where = {"status": {"in": ["New", "Error"]}}
    assert [one.taken(queue, where=where)["id"] for _ in range(4)] == [high, also_high, low, first_low]


def test_what_is_past_its_deadline_is_served_first_and_what_is_postponed_later(
    person: Person, one: Run, queue: str
) -> None:
    now = datetime.now(UTC)
    plain, overdue, with_time_left = person.create(
        queue,
        {"priority": 100},
        {"deadline": (now - timedelta(hours=1)).isoformat()},
        {"deadline": (now + timedelta(hours=1)).isoformat()},
    )
    assert [one.taken(queue)["id"] for _ in range(3)] == [overdue, plain, with_time_left]
    due = datetime.now(UTC) + timedelta(seconds=4)
    (postponed,) = person.create(queue, {"priority": 1000, "postpone_until": due.isoformat()})
    assert one.take(queue).status_code == 204
    assert one.take(queue, wait_seconds=20).json()["id"] == postponed
    assert datetime.now(UTC) >= due


def test_a_robot_without_a_run_reads_and_takes_nothing(person: Person, mortal: Run, queue: str) -> None:
    (resource,) = person.create(queue, {})
    mortal.end()
    assert mortal.read(resource).status_code == 200 and mortal.search(queue) == [resource]
    for answer in (mortal.take(queue), mortal.lock(resource), mortal.change(resource)):
        assert (answer.status_code, answer.json()["code"]) == (409, "no_run")


# Conditions ----------------------------------------------------------------------------------------------

NOW = datetime.now(UTC)
ALL = {"a", "b", "c"}
SET = [
    {"reference": "a", "priority": 1, "tags": ["red", "big"], "parameters": {"n": 1}, "value": {"x": [5]}},
    {"reference": "b", "priority": 2, "tags": ["red"], "parameters": {"n": 2, "s": "abc"}, "value": "text"},
    {"reference": "c", "priority": 3, "parameters": {"n": True}, "value": {"x": {"y": None}}},
]
CONDITIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, ALL),
    ({"status": "New"}, ALL),
    ({"status": "Error"}, set()),
    ({"status": {"ne": "Error"}}, ALL),
    ({"priority": 2}, {"b"}),
    ({"priority": {"gte": 2, "lt": 3}}, {"b"}),
    ({"priority": {"lte": 1}}, {"a"}),
    ({"priority": {"gt": 1}}, {"b", "c"}),
    ({"priority": {"nin": [1, 2]}}, {"c"}),
    ({"reference": "a"}, {"a"}),
    ({"reference": {"in": ["a", "c"]}}, {"a", "c"}),
    ({"tags": "red"}, {"a", "b"}),
    ({"tags": ["red", "big"]}, {"a"}),
    ({"tags": {"any": ["big", "other"]}}, {"a"}),
    ({"tags": {"none": ["big"]}}, {"b", "c"}),
    ({"parameters.n": 1}, {"a"}),
    ({"parameters.n": True}, {"c"}),
    ({"parameters.s": {"contains": "b"}}, {"b"}),
    ({"parameters.s": {"exists": False}}, {"a", "c"}),
    ({"value.x.0": 5}, {"a"}),
    ({"value.x.y": None}, {"c"}),
    ({"value.x": {"exists": True}}, {"a", "c"}),
    ({"created_at": {"gt": "2020-01-01T00:00:00Z"}, "updated_at": {"gt": "2999-01-01T00:00:00Z"}}, set()),
    ({"any": [{"priority": 1}, {"tags": {"none": ["red"]}}], "parameters.n": {"ne": 7}}, {"a", "c"}),
]
WRONG = {
    "where.colour": {"colour": 1},
    "where.priority.like": {"priority": {"like": 1}},
    "where.tags.in": {"tags": {"in": ["a"]}},
    "where.parameters.": {"parameters.": 1},
    "where.any": {"any": []},
    "where.any.1.size": {"any": [{"priority": 1}, {"size": 2}]},
    "where.status.eq": {"status": "Done"},
    "where.created_at.gt": {"created_at": {"gt": "yesterday"}},
    "where.priority.in": {"priority": {"in": 3}},
}


def test_conditions_find_what_they_say_by_search_and_by_take(person: Person, one: Run, queue: str) -> None:
    ids = dict(zip("abc", person.create(queue, *SET), strict=True))
    names = {resource: name for name, resource in ids.items()}
    for where, wanted in CONDITIONS:
        answer = one.send("GET", f"/queues/{queue}/resources", params={"where": dumps(where)})
        assert {names[item["id"]] for item in answer.json()["items"]} == wanted, where
        first = one.take(queue, where=where, lock="none")
        if wanted:
            assert names[first.json()["id"]] == max(wanted), where  # c has the highest priority
        else:
            assert first.status_code == 204, where


@pytest.mark.parametrize("place", WRONG)
def test_what_a_condition_cannot_say_is_named(one: Run, queue: str, place: str) -> None:
    for answer in (
        one.take(queue, where=WRONG[place]),
        one.send("GET", f"/queues/{queue}/resources", params={"where": dumps(WRONG[place])}),
    ):
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == place, answer.text
