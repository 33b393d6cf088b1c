"""Every route says who may use it, and the OpenAPI document has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask import Flask

from orchestrator.api.auth import Policy, allow, policy_of
from orchestrator.api.operations import OPENAPI
from orchestrator.app import create_app
from orchestrator.config import Config

NOWHERE = "redis://127.0.0.1:1/0"  # nothing is asked of it


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    database = tmp_path_factory.mktemp("law") / "none.sqlite3"
    settings = {
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": NOWHERE,
        "BOTSWAIN_SECRET_KEY": "k" * 32,
    }
    return create_app(Config.load(settings))


def without_policy(app: Flask) -> list[str]:
    views = app.view_functions
    return [rule.rule for rule in app.url_map.iter_rules() if policy_of(views[rule.endpoint]) is None]


def test_every_route_names_its_policy(app: Flask) -> None:
    assert without_policy(app) == []


def test_a_route_without_a_policy_is_found_and_refused(tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/x",
        "REDIS_URL": NOWHERE,
        "BOTSWAIN_SECRET_KEY": "k" * 32,
    }
    app = create_app(Config.load(settings))
    app.add_url_rule("/forgotten", view_func=lambda: "secret", endpoint="forgotten")
    app.add_url_rule("/named", view_func=allow(Policy.PUBLIC)(lambda: "open"), endpoint="named")
    assert without_policy(app) == ["/forgotten"]
    answer = app.test_client().get("/forgotten", headers={"Authorization": "Bearer anything"})
    assert answer.status_code == 403
    assert answer.json is not None and answer.json["code"] == "forbidden"
    assert app.test_client().get("/named").text == "open"


def test_every_route_of_the_api_is_documented(app: Flask) -> None:
    paths = json.loads(app.extensions[OPENAPI]())["paths"]
    documented = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    served = {
        (method, _as_template(rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(("/api/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/robot.pyz"))
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert documented == served
    rules = [(rule.rule, method) for rule in app.url_map.iter_rules() for method in rule.methods or ()]
    assert len(rules) == len(set(rules)), "an address is served twice"
    names = [operation["operationId"] for operations in paths.values() for operation in operations.values()]
    assert len(names) == len(set(names)), "two operations have one name"


def _as_template(rule: str) -> str:
    parts = rule.split("<")
    return parts[0] + "".join(
        "{" + p.split(">")[0].rpartition(":")[2] + "}" + p.split(">")[1] for p in parts[1:]
    )
