"""Every operation of the OpenAPI document, called with what its schema allows and with what it forbids.

No answer may be a mistake of the server, or one that the document does not have. Each role, and a robot,
makes the calls. SCHEMATHESIS_EXAMPLES sets how many for each operation.
"""

from __future__ import annotations

import base64
import os
import random
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orchestrator import schema as database_schema
from orchestrator.app import EXTENSION, create_app
from orchestrator.config import Config
from orchestrator.robots import lifecycle as robots
from orchestrator.runs import lifecycle as runs
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import Transaction

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "3"))
ADMIN = "Bearer the-admin-token-of-the-tests"
HOURLY = {"kind": "interval", "settings": {"seconds": 3600}, "time_zone": "UTC", "calendar": "office"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Server:
    """An application that holds a bit of everything, and how each kind of caller authenticates."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.client = app.test_client()
        self.random = random.Random(4500)
        self.known: dict[str, list[Any]] = {"node": ["1"], "number": [1], "token": [1]}
        self._fill()

    def call(self, method: str, path: str, **content: Any) -> Any:
        answer = self.client.open(path, method=method, headers={"Authorization": ADMIN}, **content)
        assert answer.status_code < 300, answer.text
        return answer.json

    def _fill(self) -> None:
        self.call("POST", "/api/v1/processes", json={"name": "invoices"})
        script = {"package": (BytesIO(b"print(1)\n"), "main.py")}
        self.call("POST", "/api/v1/processes/invoices/versions", data=script)
        robot = self.call("POST", "/api/v1/robots", json={"name": "the robot that calls"})
        self.call("POST", "/api/v1/robots", json={"name": "r1", "group": "g"})
        other = self.call("POST", "/api/v1/robots", json={"name": "r2"})
        jobs = [{"process": "invoices", "robot": "r1", "priority": n} for n in range(9)]
        made = self.call("POST", "/api/v1/jobs", json=jobs)["items"]
        tasks = [
            self.call("POST", "/api/v1/tasks", json={"activity": "botswain.echo"})["id"] for _ in range(4)
        ]
        self.known |= {
            "process": ["invoices"],
            "robot": ["r1", other["id"]],
            "job": [job["guid"] for job in made],
            "task": tasks,
        }
        queue = self.call("POST", "/api/v1/queues", json={"name": "q1"})["id"]  # its name will be changed
        fresh = [{"value": number, "parameters": {"n": number}} for number in range(9)]
        resources = self.call("POST", "/api/v1/queues/q1/resources", json=fresh)["items"]
        semaphore = self.call("POST", "/api/v1/semaphores", json={"name": "SAP", "permits": 1})["id"]
        self.known |= {
            "semaphore": [semaphore],
            "queue": [queue],
            "resource": [resource["id"] for resource in resources],
        }
        orders = [{"queue_guid": "q1", "name": f"t{number}", "tags": "blue"} for number in range(9)]
        self.known["sherpa"] = [self.call("POST", "/api/task/create", json=one)["guid"] for one in orders]
        self._fill_triggers()
        self._begin_run("the robot that calls")
        self.call("POST", "/api/v1/tokens", json={"role": "viewer"})  # the one that is deleted
        roles = ("viewer", "node")
        tokens = {role: self.call("POST", "/api/v1/tokens", json={"role": role})["token"] for role in roles}
        self.callers = {role: f"Bearer {token}" for role, token in tokens.items()}
        self.callers |= {
            "admin": ADMIN,
            "robot": f"Basic {base64.b64encode(robot['guid'].encode()).decode()}",
        }

    def _fill_triggers(self) -> None:
        calendar = {"name": "office", "country": "ES", "days_off": {"2030-12-24": ""}}
        self.known["calendar"] = [self.call("POST", "/api/v1/calendars", json=calendar)["id"]]
        rules = [{"name": f"t{number}", "process": "invoices"} | HOURLY for number in range(9)]
        self.known["trigger"] = [self.call("POST", "/api/v1/triggers", json=one)["id"] for one in rules]
        hook = {"name": "hook", "kind": "call", "process": "invoices", "settings": {"calls_per_minute": 6000}}
        self.known["secret"] = [self.call("POST", "/api/v1/triggers", json=hook)["secret"]]

    def _begin_run(self, name: str) -> None:
        """Of the robot with this name: without one a robot is refused every resource."""

        def work(tx: Transaction) -> None:
            robot = robots.existing(tx, name)
            runs.begin(tx, SimpleNamespace(id=0, guid=str(uuid.uuid4()), attempt=1), robot.id, 1)

        self.app.extensions[EXTENSION].transactions.run(work, tenant_id=DEFAULT_TENANT)

    def make_real(self, case: Any) -> None:
        """Let half of the names be of things that exist; what is invented is mostly not found."""
        is_sherpas = case.operation.path.startswith(("/api/task/", "/api/queue/"))
        for name, values in self.known.items():
            if name in (case.path_parameters or {}) and self.random.random() < 0.6:
                values = self.known["sherpa"] if is_sherpas and name == "task" else values
                case.path_parameters[name] = self.random.choice(values)
        if is_sherpas:
            self._name_real_tasks(case)
        for body in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(body, dict) and "process" in body and self.random.random() < 0.8:
                body |= {"process": "invoices", "version": None, "robot": None}
                body |= HOURLY if "kind" in body else {}
        for where in (case.body, case.query):
            if isinstance(where, dict) and "wait_seconds" in where and self.random.random() < 0.9:
                where["wait_seconds"] = 0 if where is case.body else "0"  # waiting itself is tested elsewhere

    def _name_real_tasks(self, case: Any) -> None:
        """The same where Sherpa's routes name things in a field."""
        of_a_queue = case.operation.path.startswith("/api/queue/")
        kinds = {"guid": "queue" if of_a_queue else "sherpa", "task_guid": "sherpa", "queue_guid": "queue"}
        for told in (case.body, case.query):
            for name, kind in kinds.items():
                if isinstance(told, dict) and name in told and self.random.random() < 0.6:
                    told[name] = self.random.choice(self.known[kind])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, worker_redis_url: str) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("schemathesis")
    settings = {
        "DATABASE_URL": f"sqlite:///{folder}/botswain.sqlite3",
        "REDIS_URL": worker_redis_url,
        "BOTSWAIN_SECRET_KEY": "0123456789abcdef" * 4,
        "BOTSWAIN_ADMIN_TOKEN": ADMIN.removeprefix("Bearer "),
    }
    app = create_app(Config.load(settings))
    parts = app.extensions[EXTENSION]
    database_schema.migrate(parts.transactions.engine)
    yield Server(app)
    parts.transactions.engine.dispose()
    parts.redis.close()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["what fits", "what does not fit"]
)
def test_no_answer_is_a_mistake_or_a_surprise(server: Server, mode: GenerationMode) -> None:
    document = schemathesis.openapi.from_wsgi("/openapi.json", server.app)
    called = 0
    for result in document.get_all_operations():
        operation = cast(Any, result).ok()

        @seed(4500)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: Any) -> None:
            nonlocal called
            server.make_real(case)
            for authorization in server.callers.values():  # making a case costs more than sending it
                case.call_and_validate(headers={"Authorization": authorization}, checks=CHECKS)
                called += 1

        try:
            call()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # an operation that takes nothing cannot be called wrongly
    assert called > EXAMPLES * len(server.callers)
