"""Who calls, and whether the policy of the route lets them.

Every view names its policy with `allow`; one that names none is refused. The policy hangs on the view
itself, never on its path, so that no spelling of an address gets around it.
"""

from __future__ import annotations

import hmac
import ipaddress
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from flask import Flask, current_app, g, request
from redis import RedisError

from orchestrator.api.robot_fields import Credentials
from orchestrator.errors import Forbidden, Unauthenticated
from orchestrator.sessions.credentials import authenticate
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.tokens import lifecycle as tokens
from orchestrator.tokens.model import Role
from orchestrator.transaction import SYSTEM_TENANT, Actor, Transaction
from orchestrator.wiring import Parts

View = TypeVar("View", bound=Callable[..., object])
ATTRIBUTE = "botswain_policy"
ROBOT = "robot"
FRESH_SECONDS = 5.0  # for so long a revoked token may still be accepted
MEMORY_LIMIT = 5000


class Policy(Enum):
    """Who may call: the roles of tokens, or `robot`."""

    PUBLIC = "anybody"
    OWN = "the view asks for itself"
    SCRAPER = "a program on this machine, or a viewer"
    ADMIN = frozenset({Role.ADMIN.value})
    OPERATOR = frozenset({Role.ADMIN.value, Role.OPERATOR.value})
    VIEWER = frozenset({Role.ADMIN.value, Role.OPERATOR.value, Role.VIEWER.value})
    OPERATOR_OR_ROBOT = frozenset({Role.ADMIN.value, Role.OPERATOR.value, ROBOT})
    VIEWER_OR_ROBOT = frozenset({Role.ADMIN.value, Role.OPERATOR.value, Role.VIEWER.value, ROBOT})
    NODE = frozenset({Role.NODE.value})


@dataclass(frozen=True)
class Identity:
    """`role` is a token's role, `robot`, or nothing for a caller who need not say who it is."""

    tenant_id: int
    actor: Actor
    role: str


ANYBODY = Identity(SYSTEM_TENANT, Actor("person", "anonymous"), "")


def allow(policy: Policy) -> Callable[[View], View]:
    """Name the policy of a view."""

    def mark(view: View) -> View:
        setattr(view, ATTRIBUTE, policy)
        return view

    return mark


def policy_of(view: object) -> Policy | None:
    policy = getattr(view, ATTRIBUTE, None)
    return policy if isinstance(policy, Policy) else None


def register(app: Flask, parts: Parts) -> None:
    """Ask every request for its right to be here, before its view."""
    callers = Callers(parts)

    @app.before_request
    def guard() -> None:
        if request.endpoint is None:
            return  # no such address or method: what follows is 404 or 405
        g.identity = callers.admit(policy_of(current_app.view_functions[request.endpoint]))


class Callers:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        given = parts.config.admin_token.get_secret_value()
        self._admin_digest = parts.config.digest(given) if given else ""
        self._known: dict[str, tuple[float, Identity]] = {}
        self._robots: dict[str, Identity] = {}  # by their digests; each time Redis is asked if it is still so
        self._lock = threading.Lock()

    def admit(self, policy: Policy | None) -> Identity:
        """The caller, if `policy` lets it in. Raises `Unauthenticated` or `Forbidden`."""
        if policy is None:
            raise Forbidden("This address has no policy, so nobody may use it.")
        if policy in (Policy.PUBLIC, Policy.OWN) or (policy is Policy.SCRAPER and _is_of_this_machine()):
            return ANYBODY
        identity = self._identify(request.headers.get("Authorization", ""))
        if policy is Policy.SCRAPER:
            policy = Policy.VIEWER
        if identity.role not in policy.value:
            raise Forbidden(f"This needs the role {_names(policy)}; you have the role {identity.role}.")
        return identity

    def _identify(self, header: str) -> Identity:
        scheme, _, value = header.strip().partition(" ")
        if scheme.lower() == "bearer" and value.strip():
            return self._bearer(value.strip())
        if scheme.lower() == "basic":
            return self._robot(Credentials.read(header))
        raise Unauthenticated("Send the header Authorization: Bearer <token>.")

    def _bearer(self, token: str) -> Identity:
        digest = self._parts.config.digest(token)
        if self._admin_digest and hmac.compare_digest(digest, self._admin_digest):
            return Identity(DEFAULT_TENANT, Actor("person", "admin"), Role.ADMIN.value)
        until, identity = self._known.get(digest, (0.0, ANYBODY))
        if until > time.monotonic():
            return identity
        identity = self._look_up(digest)
        with self._lock:
            if len(self._known) >= MEMORY_LIMIT:
                self._known.clear()
            self._known[digest] = (time.monotonic() + FRESH_SECONDS, identity)
        return identity

    def _look_up(self, digest: str) -> Identity:
        def find(tx: Transaction) -> Any:
            return tokens.authenticate(tx, digest)

        found = self._parts.transactions.run(find, tenant_id=SYSTEM_TENANT, read_only=True)
        if found is None:
            raise Unauthenticated("This token is unknown or revoked.")
        actor = Actor("node" if found.role == Role.NODE else "person", found.name, found.id)
        return Identity(found.tenant_id, actor, found.role)

    def _robot(self, credentials: Credentials) -> Identity:
        digest = self._parts.config.digest
        secret_digest = digest(credentials.secret) if credentials.secret else ""
        auth = f"{digest(credentials.guid)} {secret_digest}"
        known = self._robots.get(auth)
        with suppress(RedisError):
            if known is not None and self._parts.presence.is_vouched_for(known.actor.id, auth):
                return known
        identity = self._look_up_robot(digest(credentials.guid), secret_digest)
        with self._lock:
            if len(self._robots) >= MEMORY_LIMIT:
                self._robots.clear()
            self._robots[auth] = identity
        with suppress(RedisError):
            self._parts.presence.vouch(identity.actor.id, auth)
        return identity

    def _look_up_robot(self, guid_digest: str, secret_digest: str) -> Identity:
        def find(tx: Transaction) -> Any:
            return authenticate(tx, guid_digest)

        robot = self._parts.transactions.run(find, tenant_id=SYSTEM_TENANT, read_only=True)
        if robot is None or not hmac.compare_digest(robot.secret_digest or secret_digest, secret_digest):
            raise Unauthenticated("No robot is known by this GUID and secret.")
        return Identity(robot.tenant_id, Actor("robot", robot.name, robot.id), ROBOT)


def _is_of_this_machine() -> bool:
    """Whether the peer is on loopback and speaks for itself: a proxy on loopback speaks for others."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _names(policy: Policy) -> str:
    return " or ".join(sorted(policy.value))
