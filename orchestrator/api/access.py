"""REST v1: API tokens, and the audit of who did what. For administrators."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from flask import Response
from pydantic import Field

from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.fields import Input, Line
from orchestrator.api.idempotency import Minted
from orchestrator.api.queries import Pages, Text
from orchestrator.api.routes import Routes
from orchestrator.insights import access as seen
from orchestrator.insights.access import AuditView, TokenView
from orchestrator.insights.paging import Page
from orchestrator.tokens import lifecycle as verbs
from orchestrator.tokens.model import Role
from orchestrator.transaction import Transaction

routes = Routes("access")

RoleName = Literal["admin", "operator", "viewer", "node"]


class TokenIn(Input):
    role: RoleName
    name: Annotated[Line, Field(max_length=100)] = ""


class TokenFilters(Pages):
    role: RoleName | None = None


class AuditFilters(Pages):
    actor: Text | None = None
    action: Text | None = None
    subject: Text | None = None


@dataclass(frozen=True)
class NewToken:
    """`token` is told this once."""

    id: int
    name: str
    role: str
    created_at: datetime
    revoked_at: datetime | None
    token: str


@routes.post("/tokens", Policy.ADMIN, body=TokenIn, answer=NewToken, status=201)
def create_token(call: Call, body: TokenIn) -> Response:
    """Create an API token with a role.

    The token is in this answer and in no other.
    """
    minted = Minted.by(
        call.parts.config, "token", lambda key: "bsw_" + base64.urlsafe_b64encode(key).decode().rstrip("=")
    )

    def work(tx: Transaction) -> NewToken:
        made = verbs.create(tx, body.name or body.role, Role(body.role), call.digest(minted.value))
        view = seen.token(tx, made)
        return NewToken(view.id, view.name, view.role, view.created_at, view.revoked_at, minted.value)

    return call.write(work, minted=minted)


@routes.get("/tokens", Policy.ADMIN, query=TokenFilters, answer=Page[TokenView])
def list_tokens(call: Call, query: TokenFilters) -> Response:
    """List API tokens, newest first. Their text is kept nowhere."""
    return call.read(lambda tx: seen.tokens(tx, query.role, query.limit, query.cursor))


@routes.delete("/tokens/<int(max=9223372036854775807):token>", Policy.ADMIN, status=204)
def revoke_token(call: Call, token: int) -> Response:
    """Revoke an API token. A process that has just accepted it may do so for five seconds more."""
    return call.write(lambda tx: verbs.revoke(tx, token))


@routes.get("/audit", Policy.ADMIN, query=AuditFilters, answer=Page[AuditView])
def list_audit(call: Call, query: AuditFilters) -> Response:
    """List what people and programs did, newest first."""
    return call.read(
        lambda tx: seen.audit(tx, query.actor, query.action, query.subject, query.limit, query.cursor)
    )
