"""Errors as problem documents (RFC 9457), and the only place with the HTTP statuses of errors.

The robot protocol's blueprint handles its own errors: these have the protocol's fields.
"""

from __future__ import annotations

import json
import uuid
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from orchestrator import errors

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUSES: dict[type[errors.BotswainError], int] = {
    errors.Invalid: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.IdempotencyMismatch: 422,
    errors.TooManyRequests: 429,
    errors.Unavailable: 503,
}
HTTP_CODES = {400: "invalid", 404: "not_found", 413: "too_large", 429: "too_many_requests"}


def problem(
    status: int, code: str, title: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """`code` is stable and for programs, `title` the same for each code, `detail` says the fact."""
    document = {
        "type": f"urn:botswain:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    g.problem_code = code  # for the metrics
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, headers, content_type=MEDIA_TYPE)


def register(app: Flask) -> None:
    app.register_error_handler(errors.BotswainError, _refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _failed)


def _refused(error: errors.BotswainError) -> Response:
    status = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), None)
    if status is None:
        return _failed(error)
    headers: dict[str, str] = {}
    more: dict[str, Any] = {}
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="Botswain"'
    if isinstance(error, errors.Unavailable | errors.TooManyRequests):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Invalid):
        more["errors"] = [{"field": one.field, "message": one.message} for one in error.errors]
    if isinstance(error, errors.NotAllowedNow):
        more["job_status"] = error.status
    if isinstance(error, errors.Locked):
        until = error.until.isoformat().replace("+00:00", "Z") if error.until else None
        more |= {"lock": error.lock, "holder": error.holder, "until": until}
    if isinstance(error, errors.WaitCycle):
        more["cycle"] = error.cycle
    return problem(status, error.code, error.title, error.detail, headers, **more)


def _http(error: HTTPException) -> Response | HTTPException:
    status = error.code
    if status is None or status < 400:
        return error  # a redirection, or a complete answer
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = error.name
    code = HTTP_CODES.get(status, title.lower().replace(" ", "_").replace("-", "_"))
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    return problem(status, code, title, error.description or f"{title}.", headers)


def _failed(error: Exception) -> Response:
    """A mistake of ours: the log has it whole, the caller a reference to it."""
    reference = uuid.uuid4().hex[:12]
    log.error("request_failed", reference=reference, method=request.method, path=_path(), exc_info=error)
    detail = f"The server has made a mistake. Its log has the details under the reference {reference}."
    return problem(500, "internal_error", "The server has made a mistake", detail, reference=reference)


def _path() -> str:
    """The path as it may be logged: without the secret that the address of a trigger's call holds."""
    secret = (request.view_args or {}).get("secret")
    return request.path.replace(secret, "…") if secret else request.path
