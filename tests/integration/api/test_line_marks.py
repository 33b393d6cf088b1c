"""The marks of lines in which jobs wait: read before the transaction, and gone when a line is empty."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from orchestrator.jobs import announcements
from orchestrator.jobs.dispatch import dispatch
from orchestrator.robots import lifecycle as robots
from orchestrator.robots.presence import Presence
from orchestrator.tasks.model import Lane
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, Scheduler

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
Robot = Callable[[str], Any]


@pytest.fixture
def robot(app: Flask, admin: Caller) -> Robot:
    """A robot that says that it is ready, in a heartbeat or to get its next job."""
    guid, client = str(uuid.uuid4()), app.test_client()
    assert admin.post("/api/v1/robots", {"name": "r1", "guid": guid}).status_code == 201
    header = {"Authorization": "Basic " + base64.b64encode(guid.encode()).decode()}

    def say(what: str) -> Any:
        return client.post(f"/api/robot/{what}", data={"Status": 2}, headers=header).json

    return say


@pytest.fixture
def jobs(admin: Caller, process: str, scheduler: Scheduler) -> Callable[[], None]:
    """Creates a job for any robot and hands it out."""

    def make() -> None:
        assert admin.post("/api/v1/jobs", {"process": process}).status_code == 201
        claimed = scheduler.claim(Lane.SCHEDULER)
        scheduler.run(lambda tx: dispatch(tx, claimed))

    return make


def test_no_transaction_is_open_while_redis_is_asked(
    robot: Robot, jobs: Callable[[], None], parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, open_then = Presence.line_marks, []

    def looking(self: Presence, lines: Any) -> list[str]:
        open_then.append(parts.transactions.engine.pool.checkedout())  # type: ignore[attr-defined]
        return look(self, lines)

    monkeypatch.setattr(Presence, "line_marks", looking)
    robot("heartbeat")
    jobs()
    assert json.loads(robot("consumeNextJob")["Job"])["Name"]
    assert open_then == [0]


def test_a_line_that_is_found_empty_is_marked_no_more(robot: Robot, parts: Parts) -> None:
    robot("heartbeat")
    parts.presence.mark_lines(["any:1"])
    assert robot("heartbeat")["HasNewJob"] == 1
    assert robot("consumeNextJob")["ConsumeJobErrorCode"] == 102
    assert robot("heartbeat")["HasNewJob"] == 0


def test_who_asks_for_a_job_first_has_the_mark_cleared_as_well(robot: Robot, parts: Parts) -> None:
    """Another robot would else be told of a job that is not there."""
    parts.presence.mark_lines(["any:1"])
    assert robot("consumeNextJob")["ConsumeJobErrorCode"] == 102
    assert list(parts.presence.marked_lines()) == []


def test_the_lines_of_a_robot_whose_group_has_changed_are_read_anew(
    robot: Robot, admin: Caller, parts: Parts
) -> None:
    robot("consumeNextJob")
    assert admin("PATCH", "/api/v1/robots/r1", json={"group": "g"}).status_code == 200
    (line,) = {one for one in lines_of(parts, "r1") if one.startswith("group:")}
    parts.presence.mark_lines([line])
    assert robot("consumeNextJob")["ConsumeJobErrorCode"] == 102
    assert list(parts.presence.marked_lines()) == []


def lines_of(parts: Parts, name: str) -> tuple[str, ...]:
    def work(tx: Any) -> tuple[str, ...]:
        return announcements.familiar(robots.existing(tx, name)).lines

    return parts.transactions.run(work, tenant_id=DEFAULT_TENANT)


def test_a_job_that_comes_after_the_look_keeps_its_mark(
    robot: Robot, jobs: Callable[[], None], parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot("heartbeat")
    parts.presence.mark_lines(["any:1"])
    clear = Presence.clear_lines

    def clearing(self: Presence, lines: Any, marks: Any) -> None:
        jobs()  # between the look at SQL, which found nothing, and the mark's end
        clear(self, lines, marks)

    monkeypatch.setattr(Presence, "clear_lines", clearing)
    assert robot("consumeNextJob")["ConsumeJobErrorCode"] == 102
    assert robot("heartbeat")["HasNewJob"] == 1
