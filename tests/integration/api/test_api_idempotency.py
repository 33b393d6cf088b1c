"""Idempotency-Key: the same request again gets the first answer and does nothing twice."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from orchestrator.tasks.model import IdempotencyKey
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken

KEY = {"Idempotency-Key": "key-1"}


def test_a_repeated_request_gets_the_first_answer(admin: Caller, process: str) -> None:
    body = [{"process": process, "arguments": {"text": "счёт"}}, {"process": process}]
    first = admin.post("/api/v1/jobs", body, headers=KEY)
    again = admin.post("/api/v1/jobs", body, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert len(admin.get("/api/v1/jobs").json["items"]) == 2
    assert admin.post("/api/v1/jobs", body).json != first.json, "without a key it is another request"


def test_another_request_with_the_key_is_refused(admin: Caller, process: str) -> None:
    admin.post("/api/v1/jobs", {"process": process}, headers=KEY)
    for path, body in (("jobs", {"process": process, "priority": 1}), ("processes", {"name": process})):
        refused = admin.post(f"/api/v1/{path}", body, headers=KEY)
        assert (refused.status_code, refused.json["code"]) == (422, "idempotency_mismatch")
    assert len(admin.get("/api/v1/jobs").json["items"]) == 1


def test_a_failed_request_may_be_sent_again_with_its_key(admin: Caller, process: str) -> None:
    body = {"process": process, "robot": "r1"}
    assert admin.post("/api/v1/jobs", body, headers=KEY).status_code == 400
    admin.post("/api/v1/robots", {"name": "r1"})
    assert admin.post("/api/v1/jobs", body, headers=KEY).status_code == 201


def test_an_upload_is_the_same_whatever_its_boundary(admin: Caller, process: str) -> None:
    def upload(source: bytes) -> Any:
        data = {"package": (io.BytesIO(source), "main.py")}
        return admin("POST", f"/api/v1/processes/{process}/versions", data=data, headers=KEY)

    first, again, other = upload(b"print(2)\n"), upload(b"print(2)\n"), upload(b"print(3)\n")
    assert first.json["version"] == again.json["version"] == 2
    assert other.status_code == 422
    assert admin.get(f"/api/v1/processes/{process}").json["newest_version"] == 2


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("robots", {"name": "r2"}, "guid"),
        ("robots", {"name": "r3", "guid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301"}, "guid"),
        ("robots/r1/secret", None, "secret"),
        ("tokens", {"role": "viewer"}, "token"),
    ],
)
def test_a_secret_is_told_again_but_not_kept(
    admin: Caller, parts: Parts, path: str, body: Any, field: str
) -> None:
    admin.post("/api/v1/robots", {"name": "r1"})
    first = admin.post(f"/api/v1/{path}", body, headers=KEY)
    again = admin.post(f"/api/v1/{path}", body, headers=KEY)
    assert first.status_code in (200, 201)
    assert again.json == first.json
    query = select(*IdempotencyKey.__table__.columns)
    rows = parts.transactions.run(lambda tx: list(tx.execute(query).all()), tenant_id=DEFAULT_TENANT)
    assert len(rows) == 1
    assert first.json[field] not in str(rows)


def test_many_at_once_are_one(app: Flask, admin: Caller, process: str) -> None:
    start = threading.Barrier(6)
    answers: list[Any] = []

    def send() -> None:
        caller = Caller(app.test_client(), admin.authorization)
        start.wait(10)
        answers.append(caller.post("/api/v1/jobs", {"process": process}, headers=KEY))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer.status_code for answer in answers] == [201] * 6, [answer.text for answer in answers]
    assert len({answer.json["guid"] for answer in answers}) == 1
    assert len(admin.get("/api/v1/jobs").json["items"]) == 1


def test_many_at_once_want_one_name(app: Flask, admin: Caller) -> None:
    """Without a key: one gets it, the others are told; and a group that all mention is made once."""
    start = threading.Barrier(6)
    statuses: list[int] = []

    def send(number: int) -> None:
        caller = Caller(app.test_client(), admin.authorization)
        start.wait(10)
        body = {"name": "r1" if number % 2 else f"other{number}", "group": "new"}
        statuses.append(caller.post("/api/v1/robots", body).status_code)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(statuses) == [201, 201, 201, 201, 409, 409]
    assert len(admin.get("/api/v1/robots", group="new").json["items"]) == 4


def test_a_key_belongs_to_its_tenant(admin: Caller, caller: MakeToken, other_tenant: int) -> None:
    body = {"name": "one"}
    ours = admin.post("/api/v1/processes", body, headers=KEY)
    theirs = caller("admin", other_tenant).post("/api/v1/processes", body, headers=KEY)
    assert (ours.status_code, theirs.status_code) == (201, 201)
    assert ours.json["id"] != theirs.json["id"]


BAD_KEYS: list[Any] = ["", "x" * 256, "schlüssel", "a\tb"]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_key_is_printable_and_not_too_long(admin: Caller, subtests: pytest.Subtests) -> None:
    for key in BAD_KEYS:
        with subtests.test(key=key):
            refused = admin.post("/api/v1/processes", {"name": "one"}, headers={"Idempotency-Key": key})
            assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, "Idempotency-Key")
            assert admin.get("/api/v1/processes").json["items"] == []
