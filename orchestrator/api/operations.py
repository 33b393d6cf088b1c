"""Addresses for whoever operates the server: is it alive, is it ready, how much goes on; and two files."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from flask import Flask, Response, current_app, request
from redis import RedisError
from sqlalchemy import text

from orchestrator.api.agent_file import agent_file
from orchestrator.api.auth import Policy
from orchestrator.api.call import Call
from orchestrator.api.metrics import Metrics
from orchestrator.api.operation import Content
from orchestrator.api.routes import Routes
from orchestrator.errors import Unavailable
from orchestrator.wiring import Parts

routes = Routes("operations", prefix="")
METRICS = "botswain_metrics"
OPENAPI = "botswain_openapi"


@dataclass(frozen=True)
class Health:
    status: str


@dataclass(frozen=True)
class Readiness:
    database: str
    redis: str


def watch(app: Flask, parts: Parts) -> None:
    """Count requests from now on."""
    metrics = Metrics(parts)
    metrics.watch(app)
    app.extensions[METRICS] = metrics


@routes.get("/healthz", Policy.PUBLIC, answer=Health)
def get_health(call: Call) -> Response:
    """Say that the process is alive."""
    return call.answer(Health("ok"))


@routes.get("/readyz", Policy.PUBLIC, answer=Readiness)
def get_readiness(call: Call) -> Response:
    """Say whether the database and Redis answer; 503 where one does not."""
    call.fetch(lambda tx: tx.execute(text("SELECT 1")).scalar())
    try:
        call.parts.redis.ping()
    except RedisError:
        raise Unavailable("Redis does not answer; locks and waiting robots wait for it.") from None
    return call.answer(Readiness("ok", "ok"))


@routes.get("/metrics", Policy.SCRAPER, answer=Content("text/plain"))
def get_metrics(call: Call) -> Response:
    """Get metrics for Prometheus. Open to this machine, else with a viewer's token."""
    metrics: Metrics = current_app.extensions[METRICS]
    return Response(metrics.text(), content_type="text/plain; version=0.0.4; charset=utf-8")


@routes.get("/openapi.json", Policy.PUBLIC, answer=Content("application/json"))
def get_openapi(call: Call) -> Response:
    """Get the description of this API, in OpenAPI 3.1."""
    return Response(current_app.extensions[OPENAPI](), content_type="application/json")


@routes.get("/robot.pyz", Policy.PUBLIC, answer=Content("application/octet-stream", binary=True))
def get_robot_agent(call: Call) -> Response:
    """Download the robot agent: one file for Python 3.9 or newer."""
    agent = agent_file()
    response = Response(agent.data, content_type="application/octet-stream")
    response.set_etag(agent.sha256.hex())
    response.headers["Content-Digest"] = f"sha-256=:{base64.b64encode(agent.sha256).decode()}:"
    response.headers["Content-Disposition"] = "attachment; filename=robot.pyz"
    response.make_conditional(request)
    return response
