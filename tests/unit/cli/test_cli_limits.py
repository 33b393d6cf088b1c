"""botswain semaphores and botswain limits: what they ask for, without a server."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.client import Client
from orchestrator.cli.limits import limits, semaphores

HOLDER = {
    "job": "5f0c",
    "robot": "r1",
    "process": "invoices",
    "permits": 1,
    "taken_at": "2026-03-01T09:00:00Z",
}
SAP = {"name": "SAP", "permits": 3, "held": 1, "required_by": {"invoices": 1}, "holders": [HOLDER]}
PROCESS = {
    "process": "invoices",
    "semaphores": {"SAP": 2},
    "max_concurrent": None,
    "breaker": {"state": "open", "reason": "It fails.", "opened_at": None, "trial_at": None},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if request.method == "DELETE":
            return httpx.Response(204)
        if request.url.path.endswith("/semaphores") and request.method == "GET":
            return httpx.Response(200, json={"items": [SAP], "next": None})
        return httpx.Response(200, json=SAP if "semaphores" in request.url.path else PROCESS)

    def client(cls: type[Client]) -> Client:
        return cls(httpx.Client(base_url="http://here", transport=httpx.MockTransport(answer)))

    monkeypatch.setattr(Client, "from_environment", classmethod(client))
    return seen


def call(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_semaphores_alone_shows_who_holds_what(asked: list[httpx.Request]) -> None:
    shown = call(semaphores)
    assert shown.exit_code == 0, shown.output
    for text in ("SAP", "1 of 3", "invoices (1)", "r1: 5f0c"):
        assert text in shown.output


@pytest.mark.parametrize(
    ("arguments", "method", "path", "body"),
    [
        (("create", "SAP", "3"), "POST", "semaphores", {"name": "SAP", "permits": 3, "lease_seconds": None}),
        (("set", "SAP", "0"), "PATCH", "semaphores/SAP", {"permits": 0}),
        (("delete", "SAP"), "DELETE", "semaphores/SAP", None),
    ],
)
def test_semaphores_are_changed(
    asked: list[httpx.Request], arguments: tuple[str, ...], method: str, path: str, body: Any
) -> None:
    done = call(semaphores, *arguments)
    assert done.exit_code == 0, done.output
    (request,) = asked
    assert (request.method, request.url.path) == (method, f"/api/v1/{path}")
    assert (json.loads(request.content) if request.content else None) == body


BREAKER = {"failures": 5, "within_seconds": 600, "cooldown_seconds": None}


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        (("--at-once", "20"), "limits", {"max_concurrent": 20}),
        (("p", "--at-once", "none"), "processes/p/limits", {"max_concurrent": None}),
        (
            ("p", "--semaphore", "SAP=2", "--semaphore", "bank"),
            "processes/p/limits",
            {"semaphores": {"SAP": 2, "bank": 1}},
        ),
        (("p", "--no-semaphores", "--no-breaker"), "processes/p/limits", {"semaphores": {}, "breaker": None}),
        (("p", "--failures", "5", "--within", "600"), "processes/p/limits", {"breaker": BREAKER}),
    ],
)
def test_limits_are_changed(
    asked: list[httpx.Request], arguments: tuple[str, ...], path: str, body: Any
) -> None:
    done = call(limits, "change", *arguments)
    assert done.exit_code == 0, done.output
    (request,) = asked
    assert (request.method, request.url.path) == ("PATCH", f"/api/v1/{path}")
    assert json.loads(request.content) == body


@pytest.mark.parametrize(
    "arguments",
    [
        ("p", "--failures", "5"),
        ("p", "--cool-down", "5"),
        ("p", "--at-once", "x"),
        ("p", "--semaphore", "=2"),
    ],
)
def test_what_makes_no_sense_is_said(asked: list[httpx.Request], arguments: tuple[str, ...]) -> None:
    assert call(limits, "change", *arguments).exit_code == 2
    assert asked == []


def test_a_process_is_shown_with_its_breaker_and_the_breaker_closed(asked: list[httpx.Request]) -> None:
    shown = call(limits, "show", "invoices")
    assert shown.exit_code == 0, shown.output
    for text in ("open", "It fails.", "SAP (2)"):
        assert text in shown.output
    assert call(limits, "close-breaker", "invoices").exit_code == 0
    assert asked[-1].url.path == "/api/v1/processes/invoices/breaker/close"
