"""What the broker lets a script ask for."""

from __future__ import annotations

import pytest

from workers.robot.broker import allowed


@pytest.mark.parametrize(
    ("method", "target", "passed_on"),
    [
        ("POST", "/api/v1/queues/invoices/take", "api/v1/queues/invoices/take"),
        (
            "POST",
            "/api/v1/queues/Счета%20№1/resources",
            "api/v1/queues/%D0%A1%D1%87%D0%B5%D1%82%D0%B0%20%E2%84%961/resources",
        ),
        (
            "GET",
            "/api/v1/queues/q/resources?where=%7B%7D&limit=5",
            "api/v1/queues/q/resources?where=%7B%7D&limit=5",
        ),
        ("PATCH", "/api/v1/resources/0b1/?fence=1", None),
        ("PATCH", "/api/v1/resources/0b1?fence=1", "api/v1/resources/0b1?fence=1"),
        ("DELETE", "/api/v1/resources/0b1", "api/v1/resources/0b1"),
        ("POST", "/api/v1/resources/0b1/finish", "api/v1/resources/0b1/finish"),
        ("POST", "/api/v1/resources/0b1/postpone", "api/v1/resources/0b1/postpone"),
    ],
)
def test_queues_and_resources(method: str, target: str, passed_on: str | None) -> None:
    assert allowed(method, target) == passed_on


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/api/job/update"),
        ("POST", "/api/robot/heartbeat"),
        ("GET", "/api/v1/robots"),
        ("GET", "/api/v1/queues"),
        ("DELETE", "/api/v1/queues/q"),
        ("GET", "/api/v1/queues/q/take"),
        ("POST", "/api/v1/resources/0b1"),
        ("GET", "/api/v1/resources/0b1/history"),
        ("POST", "/api/v1/queues/../take"),
        ("POST", "/api/v1/queues/%2e%2E/take"),
        ("POST", "/api/v1/queues/q%2F..%2F..%2Frobots%2Fr/take"),
        ("POST", "/api/v1/queues/q%5Cr/take"),
        ("GET", "/api/v1/resources/%2e%2e%2frobots"),
        ("GET", "/api/v1/resources/a%3Fb"),
        ("GET", "/api/v1/resources/a%00b"),
        ("GET", "/api/v1/resources/a%0d%0ab"),
        ("GET", "/api/v1/resources/a?x=a b"),
        ("GET", "http://elsewhere.example/api/v1/resources/a"),
        ("GET", "//elsewhere.example/api/v1/resources/a"),
        ("GET", "api/v1/resources/a"),
    ],
)
def test_nothing_else(method: str, target: str) -> None:
    assert allowed(method, target) is None
