"""Jobs over REST v1."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask

from orchestrator.jobs.dispatch import dispatch
from orchestrator.tasks.model import Lane
from tests.integration.api.conftest import Caller, Scheduler, publish

JOBS = "/api/v1/jobs"
LEASE = timedelta(seconds=60)


@pytest.fixture
def hand_out(scheduler: Scheduler) -> Callable[[], None]:
    """What a scheduler does: claim every task in line, and hand its job out."""

    def work() -> None:
        batch = scheduler.claim(Lane.SCHEDULER)
        scheduler.run(lambda tx: dispatch(tx, batch))

    return work


def robot_of(app: Flask, admin: Caller, name: str, **more: Any) -> Any:
    """A new robot that speaks the protocol."""
    guid = admin.post("/api/v1/robots", {"name": name, **more}).json["guid"]
    caller = Caller(app.test_client(), f"Basic {base64.b64encode(guid.encode()).decode()}")

    def say(path: str, method: str = "POST", **fields: Any) -> Any:
        return caller(method, path, data={"RobotGUID": guid, **fields})

    return say


def codes(admin: Caller, guid: str) -> list[str]:
    return [reason["code"] for reason in admin.get(f"{JOBS}/{guid}/explain").json["reasons"]]


def test_a_job_carries_what_it_was_given(admin: Caller, process: str) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    given = {
        "process": process,
        "version": 1,
        "group": "accounting",
        "arguments": {"month": "2026-03", "deep": [[[{"a": None}]]], "wide": 2**63 - 1, "text": "счёт 💶"},
        "priority": 7.0,
        "not_before": later,
        "max_attempts": 3,
        "on_lost": "requeue",
        "max_run_seconds": 600,
    }
    made = admin.post(JOBS, given)
    assert made.status_code == 201
    job = admin.get(f"{JOBS}/{made.json['guid']}").json
    assert job == made.json
    for name in ("process", "version", "group", "arguments", "priority", "max_attempts", "on_lost"):
        assert job[name] == given[name]
    assert (job["status"], job["state"], job["attempt"], job["robot"]) == (0, "Created", 1, None)
    assert datetime.fromisoformat(job["not_before"]) == datetime.fromisoformat(later)
    assert job["created_by"] == "person:admin"
    assert codes(admin, job["guid"]) == ["not_before", "no_scheduler"]


ARGUMENTS: list[Any] = [None, [], 7, "text", True, {"a": 1.5}]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_arguments_are_any_json(admin: Caller, process: str, subtests: pytest.Subtests) -> None:
    for arguments in ARGUMENTS:
        with subtests.test(arguments=arguments):
            made = admin.post(JOBS, {"process": process, "arguments": arguments}).json
            assert admin.get(f"{JOBS}/{made['guid']}").json["arguments"] == arguments


def test_a_list_is_all_or_none_and_in_order(admin: Caller, process: str) -> None:
    admin.post("/api/v1/processes", {"name": "empty"})
    wrong: list[dict[str, Any]] = [
        {"process": process},
        {"process": process, "priority": 101},
        {"process": process, "robot": "nobody"},
        {"process": "empty"},
        {"process": process, "version": 2},
    ]
    refused = admin.post(JOBS, wrong)
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "1.priority")
    wrong[1]["priority"] = 100
    refused = admin.post(JOBS, wrong)
    assert [one["field"] for one in refused.json["errors"]] == ["2.robot", "3.process", "4.version"]
    assert admin.get(JOBS).json["items"] == []

    made = admin.post(JOBS, [{"process": process, "priority": n % 3} for n in range(1000)])
    assert made.status_code == 201
    assert [job["priority"] for job in made.json["items"]] == [n % 3 for n in range(1000)]
    for count in (0, 1001):
        refused = admin.post(JOBS, [{"process": process}] * count)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "body")


BAD_FIELDS: list[Any] = [
    ({"process": "nothing"}, "process"),
    ({"process": ""}, "process"),
    ({"version": 0}, "version"),
    ({"version": 2}, "version"),
    ({"version": "1"}, "version"),
    ({"robot": "nobody"}, "robot"),
    ({"robot": "r1", "group": "g"}, "group"),
    ({"priority": -1}, "priority"),
    ({"priority": 1.5}, "priority"),
    ({"priority": True}, "priority"),
    ({"not_before": "tomorrow"}, "not_before"),
    ({"not_before": "2026-03-01T09:30:00"}, "not_before"),
    ({"not_before": "0001-01-01T00:00:00+14:00"}, "not_before"),
    ({"not_before": 1700000000}, "not_before"),
    ({"max_attempts": 0}, "max_attempts"),
    ({"on_lost": "panic"}, "on_lost"),
    ({"max_run_seconds": 0}, "max_run_seconds"),
    ({"arguments": {"a": "x\x00y"}}, "arguments.a"),
    ({"arguments": {"a": 2**64}}, "arguments.a"),
    ({"argument": {}}, "argument"),
]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_bad_field_is_named(admin: Caller, process: str, subtests: pytest.Subtests) -> None:
    admin.post("/api/v1/robots", {"name": "r1", "group": "g"})
    for change, field in BAD_FIELDS:
        with subtests.test(change=change):
            refused = admin.post(JOBS, {"process": process, **change})
            assert refused.status_code == 400
            assert [one["field"] for one in refused.json["errors"]] == [field]
            assert admin.get(JOBS).json["items"] == []


def test_lists_are_filtered_by_field(admin: Caller, process: str, app: Flask, hand_out: Any) -> None:
    say = robot_of(app, admin, "r1", group="g")
    jobs = [
        {"process": process, "robot": "r1", "priority": 5},
        {"process": process, "group": "g"},
        {"process": process},
    ]
    first, second, third = [job["guid"] for job in admin.post(JOBS, jobs).json["items"]]
    admin.post(f"{JOBS}/{third}/stop")
    hand_out()

    def found(**filters: Any) -> list[str]:
        return [job["guid"] for job in admin.get(JOBS, **filters).json["items"]]

    assert found() == [third, second, first]
    assert found(robot="r1") == [first]
    assert say("/api/robot/consumeNextJob").json["ConsumeJobErrorCode"] == 0
    assert found(robot="r1") == [first]
    assert found(group="g") == [second]
    assert found(process=process, state="Stopped") == [third]
    assert found(status=1) == [second, first]
    assert found(priority=5) == [first]
    assert found(attempt=1) == [third, second, first]
    assert found(attempt=2) == []
    assert found(version=1, process=process) == [third, second, first]
    publish(admin, process, b"print(2)\n")
    newer = admin.post(JOBS, {"process": process}).json["guid"]
    assert found(version=2) == found(version=2, process=process) == [newer]
    assert found(version=1) == [third, second, first]
    admin.post(f"{JOBS}/{newer}/stop")
    assert found(process="nothing") == found(robot="nobody") == found(group="none") == []
    before = admin.get(f"{JOBS}/{first}").json["created_at"]
    assert found(created_before=before) == []
    assert len(found(created_after="2020-01-01T00:00:00Z")) == 4
    for wrong in (
        {"status": 9},
        {"state": "Lost"},
        {"created_after": "yesterday"},
        {"version": 0},
        {"attempt": 0},
    ):
        refused = admin.get(JOBS, **wrong)
        assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, next(iter(wrong)))


def test_a_job_is_explained_through_its_whole_life(
    admin: Caller, process: str, app: Flask, hand_out: Any
) -> None:
    first = admin.post(JOBS, {"process": process, "group": "g"}).json["guid"]
    assert codes(admin, first) == ["waits_for_scheduler"]
    hand_out()
    assert codes(admin, first) == ["no_robot_in_group", "next_in_line"]
    say = robot_of(app, admin, "r1", group="g", kind="attended")
    assert codes(admin, first) == ["only_attended", "next_in_line"]
    admin("PATCH", "/api/v1/robots/r1", json={"kind": "unattended"})
    assert codes(admin, first) == ["not_connected", "next_in_line"]
    say("/api/robot/heartbeat", Status="2")
    assert codes(admin, first) == ["robots_ready", "next_in_line"]
    admin.post("/api/v1/robots/r1/pause")
    assert codes(admin, first) == ["paused", "next_in_line"]
    admin.post("/api/v1/robots/r1/resume")

    assert say("/api/robot/consumeNextJob").json["ConsumeJobErrorCode"] == 0
    assert codes(admin, first) == ["handed_to_robot"]
    second = admin.post(JOBS, {"process": process, "group": "g"}).json["guid"]
    third = admin.post(JOBS, {"process": process, "group": "g", "priority": 9}).json["guid"]
    hand_out()
    assert codes(admin, second) == ["busy", "behind_others"]
    text = admin.get(f"{JOBS}/{second}/explain").json["reasons"][1]["text"]
    assert text == "One job for group g stands before it."
    assert codes(admin, third) == ["busy", "next_in_line"]
    fourth = admin.post(JOBS, {"process": process, "group": "g"}).json["guid"]
    hand_out()
    text = admin.get(f"{JOBS}/{fourth}/explain").json["reasons"][1]["text"]
    assert text == "2 jobs for group g stand before it."
    text = admin.get(f"{JOBS}/{second}/explain").json["reasons"][1]["text"]
    assert text == "One job for group g stands before it.", "the younger one stands behind it"

    say("/api/job/update", "PUT", guid=first, status=8)
    assert codes(admin, first) == ["running", "no_lease"]
    assert admin.get("/api/v1/robots/r1").json["job"] == first
    say("/api/robot/heartbeat", Status="3", JobGUID=first)
    assert codes(admin, first) == ["running", "lease"]
    assert admin.post(f"{JOBS}/{first}/stop").json["state"] == "Stopping"
    assert codes(admin, first) == ["stop_not_yet_obeyed", "running", "lease"]
    assert say("/api/robot/heartbeat", Status="3", JobGUID=first).json["HeartbeatErrorCode"] == 20
    assert admin.post(f"{JOBS}/{first}/abort").json["state"] == "Aborting"
    assert codes(admin, first)[0] == "abort_not_yet_obeyed"
    say("/api/job/update", "PUT", guid=first, status=5, error="Traceback\nValueError: no such supplier")
    ended = admin.get(f"{JOBS}/{first}/explain").json
    assert (ended["state"], ended["reasons"][0]["code"]) == ("Failed", "failed")
    assert ended["reasons"][0]["text"].endswith("on robot r1: ValueError: no such supplier")

    history = admin.get(f"{JOBS}/{first}/history").json["items"]
    events = [(one["event"], one["state"], one["robot"]) for one in history]
    assert events == [
        ("create", "Created", None),
        ("dispatch", "Pending", None),
        ("consume", "Pending", "r1"),
        ("start", "In_Progress", "r1"),
        ("stop", "Stopping", "r1"),
        ("abort", "Aborting", "r1"),
        ("fail", "Failed", "r1"),
    ]
    assert [one["fence"] for one in history] == [0, 0, 1, 1, 1, 1, 1]
    assert history[1]["seq"] >= 1


def test_cancel_and_retry(admin: Caller, process: str) -> None:
    job = admin.post(JOBS, {"process": process, "arguments": {"a": 1}, "priority": 3}).json
    early = admin.post(f"{JOBS}/{job['guid']}/retry")
    assert (early.status_code, early.json["code"], early.json["job_status"]) == (
        409,
        "transition_not_allowed",
        0,
    )
    assert admin.post(f"{JOBS}/{job['guid']}/stop").json["state"] == "Stopped"
    assert codes(admin, job["guid"]) == ["cancelled"]
    late = admin.post(f"{JOBS}/{job['guid']}/abort")
    assert (late.status_code, late.json["job_status"]) == (409, 7)
    again = admin.post(f"{JOBS}/{job['guid']}/retry")
    assert again.status_code == 201
    assert (again.json["retry_of"], again.json["arguments"], again.json["priority"]) == (
        job["guid"],
        {"a": 1},
        3,
    )
    assert [one["guid"] for one in admin.get(JOBS, retry_of=job["guid"]).json["items"]] == [
        again.json["guid"]
    ]


def test_a_robot_with_a_job_is_not_deleted(admin: Caller, process: str, app: Flask, hand_out: Any) -> None:
    say = robot_of(app, admin, "r1")
    job = admin.post(JOBS, {"process": process, "robot": "r1"}).json["guid"]
    hand_out()
    say("/api/robot/consumeNextJob")
    refused = admin("DELETE", "/api/v1/robots/r1")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    say("/api/job/update", "PUT", guid=job, status=8)
    say("/api/job/update", "PUT", guid=job, status=4)
    assert admin("DELETE", "/api/v1/robots/r1").status_code == 204
    assert "deleted" in admin.get(f"{JOBS}/{job}").json["robot"]
