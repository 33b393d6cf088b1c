"""REST v1: calling a trigger by its own secret, in a header or, where a caller can send none, in the URL."""

from __future__ import annotations

from flask import Response, request
from pydantic import BaseModel, ConfigDict

from orchestrator.api import rates
from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.idempotency import Key
from orchestrator.api.operation import FormOrJson
from orchestrator.api.routes import Routes
from orchestrator.errors import NotFound, TooManyRequests
from orchestrator.transaction import SYSTEM_TENANT
from orchestrator.triggers import calls as verbs
from orchestrator.triggers.by_call import CallSettings
from orchestrator.triggers.calls import Called

routes = Routes("calls")

SECRET_HEADER = "Botswain-Trigger-Secret"  # noqa: S105  (the name of a header)
STRANGERS_LIMIT = 30  # wrong secrets in a minute from one address


class Arguments(BaseModel):
    """What the job gets as arguments, over those of the trigger: any fields."""

    model_config = ConfigDict(extra="allow", frozen=True)


@routes.post(
    "/calls",
    Policy.OWN,
    body=FormOrJson(Arguments),
    answer=Called,
    status=201,
    headers={SECRET_HEADER: "The secret of the trigger."},
)
def call_trigger(call: Call, body: Arguments) -> Response:
    """Call the trigger whose secret is in the header Botswain-Trigger-Secret: it creates its job.

    `state` is fired, or waiting or skipped where jobs of an earlier firing have not ended.
    """
    return _called(call, request.headers.get(SECRET_HEADER, ""), body)


@routes.post("/calls/<secret>", Policy.OWN, body=FormOrJson(Arguments), answer=Called, status=201)
def call_trigger_by_address(call: Call, secret: str, body: Arguments) -> Response:
    """Call the trigger whose secret is in the address. Addresses are written to logs on their way: prefer the
    header where the caller can send one."""
    return _called(call, secret, body)


def _called(call: Call, secret: str, body: Arguments) -> Response:
    parts, digest = call.parts, call.digest(secret)
    trigger = parts.transactions.run(
        lambda tx: verbs.authenticate(tx, digest), tenant_id=SYSTEM_TENANT, read_only=True
    )
    if trigger is None:
        if rates.exceeds(parts.redis, f"stranger:{request.remote_addr}", STRANGERS_LIMIT):
            raise TooManyRequests("Too many calls with unknown secrets came from this address.", 60)
        raise NotFound("No trigger has this secret.")
    limit = CallSettings.model_validate(trigger.settings).calls_per_minute
    if rates.exceeds(parts.redis, f"trigger:{trigger.id}", limit):
        raise TooManyRequests(f"This trigger may be called {limit} times a minute; come back later.", 60)
    key = Key.of(request, "")
    arguments = body.model_extra or {}
    called = parts.transactions.run(
        lambda tx: verbs.call(tx, trigger.id, arguments, key.text if key else None),
        tenant_id=trigger.tenant_id,
    )
    return call.answer(called)
