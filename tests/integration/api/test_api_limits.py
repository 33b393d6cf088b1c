"""Limits over REST v1: semaphores, processes, the tenant, breakers, and why a job waits."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.jobs import consume, dispatch, report
from orchestrator.jobs.report import Report
from orchestrator.jobs.states import Status
from orchestrator.robots import lifecycle as robots
from orchestrator.tasks.model import Lane
from orchestrator.transaction import Transaction
from tests.integration.api.conftest import Caller, Scheduler
from tests.integration.scene import LEASE, READY

sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
V1 = "/api/v1"


@pytest.fixture
def crew(admin: Caller) -> list[str]:
    return [admin.post(f"{V1}/robots", {"name": f"r{number}"}).json["name"] for number in (1, 2)]


def ask(scheduler: Scheduler, robot: str) -> str | None:
    """What consumeNextJob gives this robot; it begins it."""

    def work(tx: Transaction) -> str | None:
        row = robots.existing(tx, robot)
        job = consume.consume(tx, row, READY, LEASE).job
        if job is None:
            return None
        report.report(tx, row, Report(job.guid, Status.IN_PROGRESS))
        return str(job.guid)

    return scheduler.run(work)


def end(scheduler: Scheduler, robot: str, guid: str, status: Status) -> None:
    scheduler.run(lambda tx: report.report(tx, robots.existing(tx, robot), Report(guid, status)))


def wait_in_line(admin: Caller, scheduler: Scheduler, process: str, count: int) -> list[str]:
    made = admin.post(f"{V1}/jobs", [{"process": process}] * count).json["items"]
    claimed = scheduler.claim(Lane.SCHEDULER)
    scheduler.run(lambda tx: dispatch.dispatch(tx, claimed))
    return [one["guid"] for one in made]


def why(admin: Caller, guid: str) -> dict[str, str]:
    reasons = admin.get(f"{V1}/jobs/{guid}/explain").json["reasons"]
    return {reason["code"]: reason["text"] for reason in reasons}


def patch(admin: Caller, path: str, **changes: Any) -> Any:
    return admin("PATCH", f"{V1}/{path}", json=changes)


def test_a_semaphore_says_who_holds_it_and_a_job_why_it_waits(
    admin: Caller, process: str, scheduler: Scheduler, crew: list[str]
) -> None:
    made = admin.post(f"{V1}/semaphores", {"name": "SAP", "permits": 1, "description": "licences"})
    assert made.status_code == 201
    limits = patch(admin, f"processes/{process}/limits", semaphores={"SAP": 1}).json
    assert limits["semaphores"] == {"SAP": 1}
    first, second = wait_in_line(admin, scheduler, process, 2)
    assert ask(scheduler, "r1") == first
    assert ask(scheduler, "r2") is None

    shown = admin.get(f"{V1}/semaphores/SAP").json
    assert (shown["held"], shown["permits"], shown["required_by"]) == (1, 1, {process: 1})
    (holder,) = shown["holders"]
    assert (holder["job"], holder["robot"], holder["process"]) == (first, "r1", process)
    assert admin.get(f"{V1}/semaphores").json["items"] == [shown]
    text = why(admin, second)["waits_for_permit"]
    assert text == f"It waits for a permit of SAP: 1 of 1 are held by robot r1 (job {first})."
    assert why(admin, second).keys() == {"waits_for_permit", "next_in_line"}
    job = admin.get(f"{V1}/jobs/{second}").json
    assert (job["state"], job["robot"]) == ("Pending", None)
    assert admin.get(f"{V1}/processes/{process}/limits").json["held_back_since"] is not None

    assert patch(admin, "semaphores/SAP", permits=2, name="ERP").json["name"] == "ERP"
    assert ask(scheduler, "r2") == second
    assert admin("DELETE", f"{V1}/semaphores/ERP").status_code == 409
    patch(admin, f"processes/{process}/limits", semaphores={})
    assert admin("DELETE", f"{V1}/semaphores/ERP").status_code == 409
    for robot, guid in (("r1", first), ("r2", second)):
        end(scheduler, robot, guid, Status.SUCCESS)
    assert admin("DELETE", f"{V1}/semaphores/ERP").status_code == 204


@sqlite
def test_limits_count_what_runs_already(
    admin: Caller, process: str, scheduler: Scheduler, crew: list[str]
) -> None:
    first, second, third = wait_in_line(admin, scheduler, process, 3)
    assert ask(scheduler, "r1") == first
    assert patch(admin, f"processes/{process}/limits", max_concurrent=1).json["max_concurrent"] == 1
    assert ask(scheduler, "r2") is None
    assert "process_at_its_limit" in why(admin, second)
    assert patch(admin, "limits", max_concurrent=1).json == {"max_concurrent": 1, "running": 1}
    assert patch(admin, f"processes/{process}/limits", max_concurrent=None).json["max_concurrent"] is None
    assert ask(scheduler, "r2") is None
    assert why(admin, second)["tenant_at_its_limit"] == "The tenant is at its limit: 1 of 1 runs go on."
    end(scheduler, "r1", first, Status.SUCCESS)
    assert ask(scheduler, "r2") == second
    assert admin.get(f"{V1}/limits").json == {"max_concurrent": 1, "running": 1}
    assert patch(admin, "limits", max_concurrent=None).json == {"max_concurrent": None, "running": None}
    assert ask(scheduler, "r1") == third


@sqlite
def test_a_breaker_is_seen_and_closed(
    admin: Caller, process: str, scheduler: Scheduler, crew: list[str]
) -> None:
    settings = {"failures": 1, "within_seconds": 60}
    made = patch(admin, f"processes/{process}/limits", breaker=settings).json["breaker"]
    assert (made["state"], made["cooldown_seconds"]) == ("closed", None)
    first, second = wait_in_line(admin, scheduler, process, 2)
    assert ask(scheduler, "r1") == first
    end(scheduler, "r1", first, Status.FAILED)
    assert ask(scheduler, "r1") is None
    assert admin.get(f"{V1}/processes/{process}/limits").json["breaker"]["state"] == "open"
    text = why(admin, second)["breaker_open"]
    assert text.endswith("1 runs failed within 60 seconds. A person must close it.")
    closed = admin.post(f"{V1}/processes/{process}/breaker/close")
    assert (closed.status_code, closed.json["breaker"]["state"]) == (200, "closed")
    assert ask(scheduler, "r1") == second
    assert {"breaker.close", "process.limit"} <= {
        one["action"] for one in admin.get(f"{V1}/audit").json["items"]
    }


@sqlite
def test_what_cannot_be_is_refused_and_changes_nothing(admin: Caller, process: str) -> None:
    admin.post(f"{V1}/semaphores", {"name": "SAP", "permits": 1})
    assert admin.post(f"{V1}/semaphores", {"name": "SAP", "permits": 2}).status_code == 409
    assert admin.post(f"{V1}/semaphores", {"name": "x", "permits": -1}).status_code == 400
    path = f"processes/{process}/limits"
    before = admin.get(f"{V1}/{path}").json
    wrong: list[dict[str, Any]] = [
        {"semaphores": {"SAP": 1, "missing": 1}},
        {"semaphores": {"SAP": 0}},
        {"max_concurrent": -1},
        {"breaker": {"failures": 1}},
        {"more": 1},
    ]
    for changes in wrong:
        refused = patch(admin, path, **changes)
        assert refused.status_code == 400, changes
    assert admin.get(f"{V1}/{path}").json == before
    assert patch(admin, path, semaphores={"missing": 1}).json["errors"][0]["field"] == "semaphores.missing"
    assert admin.post(f"{V1}/processes/{process}/breaker/close").status_code == 409
