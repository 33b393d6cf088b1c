"""A whole application on each database, and callers of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, insert

from orchestrator import schema
from orchestrator.app import EXTENSION, create_app
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import SCHEDULER, NodeIdentity
from orchestrator.config import Config
from orchestrator.database import prepare
from orchestrator.tasks import partitions
from orchestrator.tasks.claim import ClaimedTask, claim
from orchestrator.tasks.model import PARTITIONS, Lane
from orchestrator.tenancy import DEFAULT_TENANT, Tenant
from orchestrator.tokens import lifecycle as tokens
from orchestrator.tokens.model import Role
from orchestrator.transaction import Transaction
from orchestrator.wiring import Parts
from tests.servers.databases import Migrate

KEY = "0123456789abcdef" * 4
LEASE = timedelta(seconds=60)
Result = TypeVar("Result")
ADMIN_TOKEN = "the-admin-token-of-the-tests"


@dataclass
class Caller:
    """Calls the application as whoever the Authorization header says. Answers are Any, for their JSON."""

    client: FlaskClient
    authorization: str

    def __call__(self, method: str, path: str, **content: Any) -> Any:
        headers = {"Authorization": self.authorization, **content.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **content)

    def get(self, path: str, **query: Any) -> Any:
        return self("GET", path, **({"query_string": query} if query else {}))

    def post(self, path: str, json: Any = None, **content: Any) -> Any:
        return self("POST", path, **({"json": json} if json is not None else {}), **content)


@pytest.fixture(scope="session")
def migrate() -> Migrate:
    """In this process: quicker than by the command, which has tests of its own."""

    def bring_up_to_date(url: str) -> None:
        engine = prepare(create_engine(url))
        schema.migrate(engine)
        engine.dispose()

    return bring_up_to_date


@pytest.fixture
def config(migrated_database_url: str, redis_url: str) -> Config:
    return Config.load(
        {
            "DATABASE_URL": migrated_database_url,
            "REDIS_URL": redis_url,
            "BOTSWAIN_SECRET_KEY": KEY,
            "BOTSWAIN_ADMIN_TOKEN": ADMIN_TOKEN,
        }
    )


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    app = create_app(config)
    yield app
    parts: Parts = app.extensions[EXTENSION]
    parts.transactions.engine.dispose()


@pytest.fixture
def parts(app: Flask) -> Parts:
    found: Parts = app.extensions[EXTENSION]
    return found


@pytest.fixture
def admin(app: Flask) -> Caller:
    return Caller(app.test_client(), f"Bearer {ADMIN_TOKEN}")


MakeToken = Callable[..., Caller]


@pytest.fixture
def caller(app: Flask, parts: Parts) -> MakeToken:
    """A caller with a new token of a role, and of a tenant."""

    def make(role: str, tenant_id: int = DEFAULT_TENANT) -> Caller:
        secret = f"token-{role}-{tenant_id}"
        digest = parts.config.digest(secret)
        parts.transactions.run(
            lambda tx: tokens.create(tx, f"a {role}", Role(role), digest), tenant_id=tenant_id
        )
        return Caller(app.test_client(), f"Bearer {secret}")

    return make


@pytest.fixture
def other_tenant(parts: Parts) -> int:
    """The id of a second tenant."""

    def work(tx: Any) -> int:
        row = {"id": 2, "name": "another", "created_at": tx.now}
        tx.execute(insert(Tenant), row)
        return 2

    return parts.transactions.run(work, tenant_id=DEFAULT_TENANT)


class Scheduler:
    """What a scheduler does, one step at a time, as the owner of every partition."""

    def __init__(self, parts: Parts) -> None:
        self._transactions = parts.transactions
        me = NodeIdentity("scheduler-1", SCHEDULER, "host", 1, "/nowhere", 1, 3)
        self.run(lambda tx: cluster.register(tx, me, LEASE))
        self._owned = self.run(lambda tx: partitions.acquire(tx, range(PARTITIONS), me.owner, LEASE))

    def run(self, work: Callable[[Transaction], Result]) -> Result:
        return self._transactions.run(work, tenant_id=DEFAULT_TENANT)

    def claim(self, lane: Lane) -> list[ClaimedTask]:
        """Everything in line."""

        def work(tx: Transaction) -> list[ClaimedTask]:
            batches = [claim(tx, owned, lane, 1000, LEASE) for owned in self._owned]
            return [task for batch in batches for task in batch.tasks]

        return self.run(work)


@pytest.fixture
def scheduler(parts: Parts) -> Scheduler:
    return Scheduler(parts)


@pytest.fixture
def process(admin: Caller) -> str:
    """The name of a process with one version."""
    assert admin.post("/api/v1/processes", {"name": "invoices"}).status_code == 201
    publish(admin, "invoices")
    return "invoices"


def publish(caller: Caller, process: str, source: bytes = b"print(1)\n") -> dict[str, Any]:
    answer = caller(
        "POST",
        f"/api/v1/processes/{process}/versions",
        data={"package": (io.BytesIO(source), "main.py")},
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json)
