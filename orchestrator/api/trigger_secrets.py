"""REST v1: the secrets of triggers by call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Input, Integer
from orchestrator.api.idempotency import Minted
from orchestrator.api.routes import Routes
from orchestrator.transaction import Transaction
from orchestrator.triggers import calls as verbs
from orchestrator.triggers.by_call import secret_of

routes = Routes("trigger_secrets")


class SecretIn(Input):
    """For how long the secret before it is still accepted, so that callers can change over."""

    keep_former_seconds: Annotated[Integer, Field(ge=0, le=30 * 24 * 3600)] = 0


@dataclass(frozen=True)
class NewSecret:
    """`secret` is told this once."""

    trigger: str
    secret: str
    former_until: datetime | None


@routes.post("/triggers/<trigger>/secret", Policy.OPERATOR, body=SecretIn, answer=NewSecret, status=201)
def give_trigger_secret(call: Call, trigger: str, body: SecretIn) -> Response:
    """Give a trigger by call a new secret. The secret is in this answer and in no other."""
    minted = Minted.by(call.parts.config, "secret", secret_of)
    keep = timedelta(seconds=body.keep_former_seconds)

    def work(tx: Transaction) -> NewSecret:
        name, until = verbs.rotate(tx, trigger, call.digest(minted.value), keep)
        return NewSecret(name, minted.value, until)

    return call.write(work, minted=minted)
