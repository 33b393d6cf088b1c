"""Errors: problem documents, whatever went wrong, and nothing in them that is nobody's business."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from structlog.testing import capture_logs

from orchestrator import errors
from tests.integration.api.conftest import Caller

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


def check(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    problem = dict(answer.json)
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"urn:botswain:problem:{code}"
    assert problem["title"] and problem["detail"]
    return problem


def test_what_the_web_framework_refuses_is_a_problem_too(admin: Caller, app: Flask) -> None:
    check(admin.get("/api/v1/nothing"), 404, "not_found")
    check(admin.get("//api/v1/jobs"), 404, "not_found")
    wrong = admin("PUT", "/api/v1/jobs")
    check(wrong, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(wrong.headers["Allow"].replace(" ", "").split(","))
    check(admin("OPTIONS", "/api/v1/jobs"), 405, "method_not_allowed")
    check(admin("POST", "/api/v1/jobs", data=b"{}", content_type="text/plain"), 415, "unsupported_media_type")
    check(admin("POST", "/api/v1/jobs", data=b"{}"), 415, "unsupported_media_type")
    packed = {"Content-Encoding": "gzip"}
    check(admin.post("/api/v1/jobs", {}, headers=packed), 415, "unsupported_media_type")
    app.config["MAX_CONTENT_LENGTH"] = 1000
    check(admin.post("/api/v1/processes", {"name": "x" * 2000}), 413, "too_large")


BAD_BODIES: list[Any] = [
    (b"", "missing"),
    (b"{", "line 1 column 2"),
    (b"[]", "1 to 1000"),
    (b"7", "must be a JSON object"),
    (b"[7]", "must be a JSON object"),
    (b'{"process": NaN}', "NaN"),
    (b"\xff", "UTF-8"),
]


def test_a_body_that_cannot_be_read_is_explained(admin: Caller, subtests: pytest.Subtests) -> None:
    for body, said in BAD_BODIES:
        with subtests.test(body=body):
            answer = admin("POST", "/api/v1/jobs", data=body, content_type="application/json")
            problem = check(answer, 400, "invalid")
            assert said in problem["errors"][0]["message"]


def test_a_request_that_takes_no_body_takes_none(admin: Caller) -> None:
    admin.post("/api/v1/robots", {"name": "r1"})
    assert admin.post("/api/v1/robots/r1/pause").status_code == 200
    assert admin.post("/api/v1/robots/r1/pause", {}).status_code == 200
    check(admin.post("/api/v1/robots/r1/pause", {"why": "lunch"}), 400, "invalid")


ODD_NAMES: list[Any] = ["%00", "a%00b", "x" * 201, "%ED%A0%80", "%F0%9F%98%80", "..%2F..", "%25"]


def test_odd_names_in_the_path_are_found_nowhere(admin: Caller, subtests: pytest.Subtests) -> None:
    for name in ODD_NAMES:
        with subtests.test(name=name):
            for path in (f"robots/{name}", f"processes/{name}", f"jobs/{name}", f"tasks/{name}"):
                check(admin.get(f"/api/v1/{path}"), 404, "not_found")
    check(admin.get("/api/v1/processes/p/versions/99999999999999999999"), 404, "not_found")
    check(admin.get("/api/v1/robots?name=%00"), 400, "invalid")
    check(admin.get("/api/v1/robots?limit=1&limit=2"), 400, "invalid")


def test_a_mistake_of_ours_tells_a_reference_and_no_more(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("the secret inside")

    monkeypatch.setattr("orchestrator.insights.jobs.listed", broken)
    with capture_logs() as logs:
        problem = check(admin.get("/api/v1/jobs"), 500, "internal_error")
    assert "secret" not in json.dumps(problem)
    (entry,) = [line for line in logs if line["event"] == "request_failed"]
    assert entry["reference"] == problem["reference"]
    assert isinstance(entry["exc_info"], KeyError)


def test_a_part_that_is_away_is_said_with_a_time_to_wait(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise errors.Unavailable("The database does not answer; try again shortly.", retry_after=3)

    monkeypatch.setattr("orchestrator.insights.jobs.listed", away)
    answer = admin.get("/api/v1/jobs")
    check(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "3"
