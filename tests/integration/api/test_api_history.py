"""What has moved to history has the same addresses, the same answers, and is in the same lists."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from orchestrator.tasks.model import Lane
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken, Scheduler
from tests.integration.api.test_api_jobs import hand_out, robot_of
from tests.integration.history.accounts import move_all

__all__ = ["hand_out"]
V1 = "/api/v1"
FAILED, IN_PROGRESS, STOPPED, SUCCESS = 5, 8, 7, 4


@pytest.fixture
def move(parts: Parts) -> Callable[[], dict[str, int]]:
    """Everything that has ended moves to history."""
    return lambda: move_all(lambda work: parts.transactions.run(work, tenant_id=DEFAULT_TENANT))


@pytest.fixture
def robot(app: Flask, admin: Caller) -> Any:
    return robot_of(app, admin, "r1")


def ended(admin: Caller, process: str, by: Any, hand_out: Any, status: int, **more: Any) -> str:
    """The GUID of a job that the robot `by` has brought to this end."""
    guid = str(admin.post(f"{V1}/jobs", {"process": process, **more}).json["guid"])
    hand_out()
    by("/api/robot/consumeNextJob", Status=2)
    told(by, guid, IN_PROGRESS)
    assert told(by, guid, status).status_code == 200
    return guid


def told(robot: Any, guid: str, status: int, **more: Any) -> Any:
    return robot("/api/job/update", "PUT", guid=guid, status=status, **more)


def answers(admin: Caller, paths: list[str]) -> dict[str, Any]:
    return {path: (answer.status_code, answer.json) for path in paths for answer in [admin.get(path)]}


def pages(admin: Caller, path: str) -> list[Any]:
    """A list read in pages of one."""
    found, cursor = [], ""
    while True:
        answer = admin.get(f"{path}{'&' if '?' in path else '?'}limit=1{cursor}").json
        found += answer["items"]
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"


def test_jobs_are_read_as_before(
    admin: Caller, process: str, robot: Any, hand_out: Any, move: Any, caller: MakeToken, other_tenant: int
) -> None:
    first = ended(admin, process, robot, hand_out, SUCCESS, robot="r1", priority=3)
    waiting = admin.post(f"{V1}/jobs", {"process": process, "robot": "r1"}).json["guid"]
    cancelled = admin.post(f"{V1}/jobs", {"process": process, "robot": "r1"}).json["guid"]
    admin.post(f"{V1}/jobs/{cancelled}/stop")
    paths = [f"{V1}/jobs/{guid}{end}" for guid in (first, cancelled) for end in ("", "/history", "/explain")]
    filters = ["status=4", "state=Stopped", f"process={process}", "robot=r1", "priority=3", "state=Created"]
    paths += [f"{V1}/jobs?{one}" for one in filters]
    before = answers(admin, paths)
    in_pages = pages(admin, f"{V1}/jobs")
    assert [job["guid"] for job in in_pages] == [cancelled, waiting, first]
    assert move()["jobs"] == 2
    assert answers(admin, paths) == before
    assert pages(admin, f"{V1}/jobs") == in_pages
    assert all(status == 200 for status, _ in before.values())
    stranger = caller("viewer", other_tenant)
    assert {stranger.get(path).status_code for path in paths[:6]} == {404}
    assert stranger.get(f"{V1}/jobs").json["items"] == []


def test_a_robot_that_repeats_itself_and_people_get_the_same_answers(
    app: Flask, admin: Caller, process: str, robot: Any, hand_out: Any, move: Any
) -> None:
    guid = ended(admin, process, robot, hand_out, SUCCESS)
    other = robot_of(app, admin, "r2")

    def say() -> list[Any]:
        said = [told(robot, guid, status) for status in (SUCCESS, FAILED, IN_PROGRESS, STOPPED)]
        said += [told(robot, guid, SUCCESS, fence=0), told(other, guid, SUCCESS)]
        said += [admin.post(f"{V1}/jobs/{guid}/{verb}") for verb in ("stop", "abort")]
        return [(answer.status_code, answer.json) for answer in said]

    before = say()
    assert [status for status, _ in before] == [200, 409, 409, 409, 409, 404, 409, 409]
    move()
    assert say() == before
    assert admin.get(f"{V1}/jobs/{guid}/history").json["items"][-1]["status"] == SUCCESS


def test_an_earlier_attempts_robot_is_told_that_its_run_is_over(
    app: Flask, admin: Caller, process: str, robot: Any, hand_out: Any, move: Any
) -> None:
    more = {"process": process, "max_attempts": 2, "on_lost": "requeue"}
    guid = admin.post(f"{V1}/jobs", more).json["guid"]
    hand_out()
    robot("/api/robot/consumeNextJob", Status=2)
    told(robot, guid, IN_PROGRESS)
    robot("/api/robot/heartbeat", Status=2)  # it has forgotten its job: the run is lost
    hand_out()
    other = robot_of(app, admin, "r2")
    other("/api/robot/consumeNextJob", Status=2)
    told(other, guid, IN_PROGRESS)
    told(other, guid, SUCCESS)
    late = told(robot, guid, SUCCESS)
    assert late.status_code == 409
    move()
    again = told(robot, guid, SUCCESS)
    assert (again.status_code, again.json) == (late.status_code, late.json)


def test_a_job_in_history_is_retried(
    admin: Caller, process: str, robot: Any, hand_out: Any, move: Any
) -> None:
    queue = admin.post(f"{V1}/queues", {"name": "orders"}).json["name"]
    given = admin.post(f"{V1}/queues/{queue}/resources", {"value": 7}).json["id"]
    guid = ended(admin, process, robot, hand_out, FAILED, resource=given, arguments={"a": 1})
    move()
    assert admin.get(f"{V1}/jobs/{guid}").json["resource"] == given
    new = admin.post(f"{V1}/jobs/{guid}/retry")
    assert new.status_code == 201, new.text
    assert (new.json["retry_of"], new.json["arguments"], new.json["resource"]) == (guid, {"a": 1}, given)
    assert admin.get(f"{V1}/resources/{given}").json["status"] == "New"
    assert [job["guid"] for job in admin.get(f"{V1}/jobs?retry_of={guid}").json["items"]] == [
        new.json["guid"]
    ]


def done(admin: Caller, queue: str, **order: Any) -> str:
    made = admin.post(f"{V1}/queues/{queue}/resources", order).json["id"]
    assert (
        admin.post(f"{V1}/resources/{made}/finish", {"status": "Processed", "result": 1}).status_code == 200
    )
    return str(made)


@pytest.fixture
def queue(admin: Caller) -> str:
    return str(admin.post(f"{V1}/queues", {"name": "orders"}).json["name"])


def test_resources_are_read_as_before(
    admin: Caller, queue: str, move: Any, caller: MakeToken, other_tenant: int
) -> None:
    first = done(admin, queue, value={"n": 1}, tags=["a"], parameters={"country": "ES"}, reference="A-1")
    admin.post(f"{V1}/queues/{queue}/resources", {"value": 2})
    second = done(admin, queue, value=3)
    paths = [f"{V1}/resources/{one}{end}" for one in (first, second) for end in ("", "/history")]
    where = ["status=Processed", "status=New", "reference=A-1", "tag=a", 'where={"parameters.country":"ES"}']
    paths += [f"{V1}/queues/{queue}/resources?{one}" for one in where]
    paths += [f"/api/task/read/{first}", "/api/task/read/A-1"]
    before, in_pages = answers(admin, paths), pages(admin, f"{V1}/queues/{queue}/resources")
    listed = admin.post("/api/task/filter/list", {"queue_guid": queue}).json
    assert move()["resources"] == 2
    assert answers(admin, paths) == before
    assert pages(admin, f"{V1}/queues/{queue}/resources") == in_pages and len(in_pages) == 3
    assert admin.post("/api/task/filter/list", {"queue_guid": queue}).json == listed and len(listed) == 3
    assert all(status == 200 for status, _ in before.values())
    stranger = caller("viewer", other_tenant)
    assert {stranger.get(path).status_code for path in paths[:4]} == {404}


def test_a_resource_comes_back_when_it_is_changed(admin: Caller, queue: str, move: Any) -> None:
    made = [done(admin, queue, value=number) for number in range(5)]
    move()
    path = f"{V1}/resources"
    changed = admin("PATCH", f"{path}/{made[0]}", json={"status": "New"})
    assert (changed.status_code, changed.json["status"]) == (200, "New")
    assert admin.post(f"{V1}/queues/{queue}/take", {"lock": "read"}).json["id"] == made[0]
    locked = admin.post(f"{path}/{made[1]}/lock", {"lock": "write"})
    assert (locked.status_code, locked.json["value"]) == (200, 1)
    again = admin.post(f"{path}/{made[2]}/finish", {"status": "Error", "error": "no"})
    assert (again.status_code, again.json["status"]) == (200, "Error")
    assert admin("DELETE", f"{path}/{made[3]}").status_code == 204
    assert admin.get(f"{path}/{made[3]}").status_code == 404
    assert admin.post(f"{path}/{made[4]}/postpone", {"for_seconds": 0.01}).json["status"] == "New"
    events = [line["event"] for line in admin.get(f"{path}/{made[2]}/history").json["items"]]
    assert events == ["create", "finish", "fail"]
    assert admin("PATCH", f"{path}/{made[3]}", json={"value": 1}).status_code == 404


def test_a_repeated_finish_of_a_robot_is_answered_as_before(
    app: Flask, admin: Caller, process: str, hand_out: Any, queue: str, move: Any
) -> None:
    guid = admin.post(f"{V1}/robots", {"name": "r9"}).json["guid"]
    robot = Caller(app.test_client(), f"Basic {base64.b64encode(guid.encode()).decode()}")
    made = admin.post(f"{V1}/queues/{queue}/resources", {"value": 7}).json["id"]
    admin.post(f"{V1}/jobs", {"process": process, "robot": "r9"})
    hand_out()
    robot.post("/api/robot/consumeNextJob", data={"RobotGUID": guid, "Status": 2})
    robot.post(f"{V1}/queues/{queue}/take", {"lock": "read"})
    said = {"status": "Processed", "result": "ok"}

    def say(**more: Any) -> Any:
        answer = robot.post(f"{V1}/resources/{made}/finish", said | more)
        return answer.status_code, answer.json

    first = say()
    assert first[0] == 200 and say() == first
    other = say(result="no")
    assert other[0] == 409
    move()
    assert say() == first
    move()
    assert say(result="no") == other


def test_the_history_of_a_deleted_resource_can_be_read(
    admin: Caller, queue: str, caller: MakeToken, other_tenant: int
) -> None:
    made = admin.post(f"{V1}/queues/{queue}/resources", {"value": 7, "reference": "A-1"}).json["id"]
    assert admin("DELETE", f"{V1}/resources/{made}").status_code == 204
    assert admin.get(f"{V1}/resources/{made}").status_code == 404
    lines = admin.get(f"{V1}/resources/{made}/history")
    assert [line["event"] for line in lines.json["items"]] == ["create", "delete"]
    assert admin.get(f"{V1}/queues/{queue}/resources").json["items"] == []
    assert caller("viewer", other_tenant).get(f"{V1}/resources/{made}/history").status_code == 404
    following = admin.post(f"{V1}/queues/{queue}/resources", {"value": 8, "reference": "A-1"})
    assert following.status_code == 201
    own = admin.get(f"{V1}/resources/{following.json['id']}/history").json["items"]
    assert [line["event"] for line in own] == ["create"], "its number is its own"


def test_a_queue_may_be_deleted_and_its_history_read(admin: Caller, queue: str, move: Any) -> None:
    made = done(admin, queue, value=7)
    assert admin("DELETE", f"{V1}/queues/{queue}").status_code == 409
    move()
    assert admin("DELETE", f"{V1}/queues/{queue}").status_code == 204
    assert admin.get(f"{V1}/resources/{made}").json["value"] == 7
    refused = admin("PATCH", f"{V1}/resources/{made}", json={"value": 8})
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert "queue" in refused.json["detail"]


def test_tasks_are_read_and_repeated_and_retried_as_before(
    admin: Caller, caller: MakeToken, scheduler: Scheduler, move: Any
) -> None:
    order = {"activity": "botswain.echo"}
    made = [admin.post(f"{V1}/tasks", order).json["id"] for _ in range(3)]
    node = caller("node")
    fences = {task.guid: task.fence for task in scheduler.claim(Lane.WORKER)}
    for task in made:
        node.post(f"{V1}/tasks/{task}/start", {"fence": fences[task], "node": "n1"})
    ends: dict[str, dict[str, Any]] = {
        made[0]: {"result": 1},
        made[1]: {"error": "no"},
        made[2]: {"error": "no"},
    }

    def say(task: str) -> list[Any]:
        said = [node.post(f"{V1}/tasks/{task}/finish", {"fence": fences[task], **ends[task]})]
        said += [node.post(f"{V1}/tasks/{task}/finish", {"fence": fences[task] - 1, **ends[task]})]
        said += [node.post(f"{V1}/tasks/{task}/renew", {"fence": fences[task], "node": "n1"})]
        said += [admin.post(f"{V1}/tasks/{task}/cancel")]
        return [(answer.status_code, answer.json) for answer in said]

    paths = [f"{V1}/tasks/{task}" for task in made] + [f"{V1}/tasks?state=failed", f"{V1}/tasks?state=queued"]
    told = {task: say(task) for task in made}
    assert [[status for status, _ in said] for said in told.values()] == [[200, 409, 409, 409]] * 3
    before, in_pages = answers(admin, paths), pages(admin, f"{V1}/tasks")
    assert move()["tasks"] == 3
    assert answers(admin, paths) == before
    assert pages(admin, f"{V1}/tasks") == in_pages
    assert {task: say(task) for task in made} == told
    assert admin.post(f"{V1}/tasks/{made[1]}/retry").json["state"] == "queued"
    assert admin.post(f"{V1}/tasks/retry", {"ids": [made[2]]}).json["ids"] == [made[2]]
    assert admin.post(f"{V1}/tasks/{made[0]}/retry").status_code == 409
    assert {task.guid for task in scheduler.claim(Lane.WORKER)} == set(made[1:])


def test_the_audit_is_listed_as_before(admin: Caller, queue: str, move: Any) -> None:
    before = pages(admin, f"{V1}/audit"), admin.get(f"{V1}/audit?action=queue.create").json
    assert move()["audit"] > 0
    assert (pages(admin, f"{V1}/audit"), admin.get(f"{V1}/audit?action=queue.create").json) == before
