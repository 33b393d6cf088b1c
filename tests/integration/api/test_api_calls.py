"""Calling a trigger over HTTP: its secret is the only key to it, and is shown once and logged nowhere."""

from __future__ import annotations

import json
from traceback import format_exception
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from structlog.testing import capture_logs

from orchestrator.api import calls
from orchestrator.audit import AuditRecord
from orchestrator.tasks.model import IdempotencyKey
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import Actor
from orchestrator.triggers import calls as verbs
from orchestrator.triggers import lifecycle
from orchestrator.triggers.model import Firing, Trigger
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken

sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
PERSON = Actor("person", "alice")


class Hook:
    """A trigger by call, and a stranger on the web who may know its secret."""

    def __init__(self, app: Flask, parts: Parts, admin: Caller, process: str) -> None:
        self.parts, self.admin, self.client = parts, admin, app.test_client()
        rule = {"name": "hook", "kind": "call", "process": process}
        self.made = admin.post("/api/v1/triggers", rule, headers={"Idempotency-Key": "made"})
        assert self.made.status_code == 201, self.made.text

    def run(self, work: Any) -> Any:
        return self.parts.transactions.run(work, tenant_id=DEFAULT_TENANT, actor=PERSON)

    def secret(self, **body: Any) -> str:
        answer = self.admin.post("/api/v1/triggers/hook/secret", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json["secret"])

    def call(self, secret: str = "", *, address: str = "", **content: Any) -> Any:
        headers = {calls.SECRET_HEADER: secret} if secret else {}
        headers |= content.pop("headers", {})
        return self.client.post(f"/api/v1/calls{address}", headers=headers, **content)

    def job(self, answer: Any) -> Any:
        assert answer.status_code == 201, answer.text
        return self.admin.get(f"/api/v1/jobs/{answer.json['jobs'][0]}").json


@pytest.fixture
def hook(app: Flask, parts: Parts, admin: Caller, process: str) -> Hook:
    return Hook(app, parts, admin, process)


def test_the_secret_starts_a_job_from_a_header_or_the_address(hook: Hook) -> None:
    secret = hook.secret()
    assert secret.startswith("bstr_") and len(secret) > 40
    answer = hook.call(secret, json={"invoice": "A-1"})
    assert answer.json["state"] == "fired" and answer.json["reason"] is None
    assert hook.job(answer)["arguments"] == {"invoice": "A-1"}
    by_address = hook.call(address=f"/{secret}", json={"invoice": "A-2"})
    assert hook.job(by_address)["arguments"] == {"invoice": "A-2"}
    assert hook.job(hook.call(secret))["arguments"] == {}, "a body is not needed"
    form = hook.call(secret, data={"invoice": "A-3"})
    assert hook.job(form)["arguments"] == {"invoice": "A-3"}


def test_the_secret_is_told_at_creation_and_to_the_same_key_again(hook: Hook, process: str) -> None:
    made = hook.made.json
    rule = {"name": "hook", "kind": "call", "process": process}
    again = hook.admin.post("/api/v1/triggers", rule, headers={"Idempotency-Key": "made"})
    assert again.json == made
    seen = hook.admin.get("/api/v1/triggers/hook").json
    assert seen == {name: value for name, value in made.items() if name != "secret"}
    assert hook.call(made["secret"]).status_code == 201
    timed = {"name": "timed", "kind": "interval", "settings": {"seconds": 60}, "process": process}
    assert "secret" not in hook.admin.post("/api/v1/triggers", timed).json


def test_a_key_fires_once(hook: Hook) -> None:
    secret = hook.secret()
    keyed: Any = {"headers": {"Idempotency-Key": "order-1"}}
    first = hook.call(secret, json={"n": 1}, **keyed)
    again = hook.call(address=f"/{secret}", json={"n": 1}, **keyed)
    assert (again.status_code, again.json) == (201, first.json)
    other = hook.call(secret, json={"n": 2}, headers={"Idempotency-Key": "order-1"})
    assert (other.status_code, other.json["code"]) == (422, "idempotency_mismatch")
    assert hook.call(secret, headers={"Idempotency-Key": "é"}).status_code == 400
    mine = hook.admin.post("/api/v1/robots", {"name": "r1"}, headers={"Idempotency-Key": "order-1"})
    assert mine.status_code == 201, "a caller's keys are not those of the people of the tenant"


@sqlite
@pytest.mark.parametrize("secret", ["", "wrong", "bstr_", "bstr_" + "A" * 43, "x" * 300])
def test_any_other_secret_finds_nothing(hook: Hook, secret: str) -> None:
    hook.secret()
    for answer in (hook.call(secret), hook.call(address=f"/{secret or 'x'}")):
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert hook.admin.get("/api/v1/jobs").json["items"] == []


@sqlite
def test_a_token_is_no_secret_and_a_secret_no_token(hook: Hook, caller: MakeToken) -> None:
    secret = hook.secret()
    assert caller("admin")("POST", "/api/v1/calls", json={}).status_code == 404
    as_token = Caller(hook.client, f"Bearer {secret}")
    assert as_token.get("/api/v1/jobs").status_code == 401
    assert as_token.post("/api/v1/triggers/hook/secret", {}).status_code == 401
    assert caller("viewer").post("/api/v1/triggers/hook/secret", {}).status_code == 403


@sqlite
def test_another_tenant_gets_no_secret_of_ours(hook: Hook, caller: MakeToken, other_tenant: int) -> None:
    stranger = caller("admin", other_tenant)
    answer = stranger.post("/api/v1/triggers/hook/secret", {})
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_the_job_belongs_to_the_trigger_s_tenant(hook: Hook, caller: MakeToken, other_tenant: int) -> None:
    called = hook.call(hook.secret())
    assert hook.job(called)["guid"] == called.json["jobs"][0]
    assert caller("admin", other_tenant).get("/api/v1/jobs").json["items"] == []


def test_a_disabled_trigger_says_so_to_who_knows_the_secret(hook: Hook) -> None:
    secret = hook.secret()
    hook.run(lambda tx: lifecycle.disable(tx, "hook"))
    answer = hook.call(secret)
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "disabled" in answer.json["detail"]
    hook.run(lambda tx: lifecycle.remove(tx, "hook"))
    assert hook.call(secret).status_code == 404


def test_a_new_secret_ends_the_old_one(hook: Hook) -> None:
    first = hook.secret()
    second = hook.secret()
    assert [hook.call(one).status_code for one in (first, second)] == [404, 201]
    third = hook.secret(keep_former_seconds=3600)
    assert [hook.call(one).status_code for one in (first, second, third)] == [404, 201, 201]


def test_the_secret_is_kept_nowhere(hook: Hook, capfd: pytest.CaptureFixture[str]) -> None:
    """Not in the tables, the audit, the answers kept for keys, later answers, or what is logged."""
    keyed = {"Idempotency-Key": "k1"}
    made = hook.admin.post("/api/v1/triggers/hook/secret", {}, headers=keyed)
    secret = made.json["secret"]
    assert hook.admin.post("/api/v1/triggers/hook/secret", {}, headers=keyed).json == made.json
    hook.call(address=f"/{secret}", headers={"Idempotency-Key": "k2"})
    hook.call(address=f"/{secret}", data=b"not json", content_type="application/json")

    def everything(tx: Any) -> str:
        tables = (Trigger, Firing, AuditRecord, IdempotencyKey)
        return str([tx.execute(select(*table.__table__.columns)).all() for table in tables])

    kept = hook.run(everything)
    assert "trigger.rotate_secret" in kept and secret not in kept
    assert secret not in hook.admin.get("/metrics").text + hook.admin.get("/api/v1/audit").text
    assert secret not in "".join(capfd.readouterr())


@sqlite
def test_a_mistake_of_the_server_is_logged_without_the_secret(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = hook.secret()
    monkeypatch.setattr(verbs, "call", lambda *_: 1 / 0)
    with capture_logs() as entries:
        answer = hook.call(address=f"/{secret}")
    assert answer.status_code == 500 and secret not in answer.text
    (entry,) = entries
    assert (entry["path"], entry["reference"]) == ("/api/v1/calls/…", answer.json["reference"])
    assert secret not in "".join(format_exception(entry.pop("exc_info"))) + str(entry)


@sqlite
def test_calls_come_no_faster_than_the_trigger_allows(hook: Hook) -> None:
    secret = hook.secret()
    hook.run(lambda tx: tx.execute(update(Trigger).values(settings={"calls_per_minute": 2})))
    answers = [hook.call(secret) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].headers["Retry-After"] and answers[2].json["code"] == "too_many_requests"


@sqlite
def test_who_tries_secrets_is_slowed_down_and_who_knows_one_is_not(hook: Hook) -> None:
    secret = hook.secret()
    tried = [hook.call(f"guess-{n}").status_code for n in range(calls.STRANGERS_LIMIT + 1)]
    assert set(tried[:-1]) == {404} and tried[-1] == 429
    assert hook.call(secret).status_code == 201


@sqlite
@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"data": json.dumps([1]), "content_type": "application/json"}, 400),
        ({"data": b"{", "content_type": "application/json"}, 400),
        ({"data": b"x", "content_type": "text/plain"}, 415),
        ({"data": b"{}" + b" " * (9 * 1024 * 1024), "content_type": "application/json"}, 413),
    ],
)
def test_a_body_that_is_no_object_is_refused(hook: Hook, content: Any, status: int) -> None:
    answer = hook.call(hook.secret(), **content)
    assert answer.status_code == status
    assert hook.admin.get("/api/v1/jobs").json["items"] == []
