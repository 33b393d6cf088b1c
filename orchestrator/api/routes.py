"""Registering routes: a handler with its operation becomes a view, and a line in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from flask import Blueprint, Flask, Response, g, request

from orchestrator.api.auth import Policy, allow
from orchestrator.api.body import check_path, read_body, read_query
from orchestrator.api.call import Call
from orchestrator.api.operation import FormOrJson, Operation, Upload
from orchestrator.wiring import Parts

Handler = Callable[..., Response]
PREFIX: Final = "/api/v1"


class Routes:
    """The routes of one noun. A handler gets the call, the names in its path and, where its operation has
    them, `body` and `query`."""

    def __init__(self, tag: str, prefix: str = PREFIX) -> None:
        self.tag = tag
        self.prefix = prefix
        self.operations: list[tuple[Operation, Handler]] = []

    def get(self, path: str, policy: Policy, **forms: Any) -> Callable[[Handler], Handler]:
        return self._add("GET", path, policy, forms)

    def post(self, path: str, policy: Policy, **forms: Any) -> Callable[[Handler], Handler]:
        return self._add("POST", path, policy, forms)

    def put(self, path: str, policy: Policy, **forms: Any) -> Callable[[Handler], Handler]:
        return self._add("PUT", path, policy, forms)

    def patch(self, path: str, policy: Policy, **forms: Any) -> Callable[[Handler], Handler]:
        return self._add("PATCH", path, policy, forms)

    def delete(self, path: str, policy: Policy, **forms: Any) -> Callable[[Handler], Handler]:
        return self._add("DELETE", path, policy, forms)

    def _add(
        self, method: str, path: str, policy: Policy, forms: dict[str, Any]
    ) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            summary, _, description = (handler.__doc__ or "").strip().partition("\n")
            operation = Operation(
                name=handler.__name__,
                method=method,
                path=self.prefix + path,
                tag=self.tag,
                policy=policy,
                summary=summary.rstrip("."),
                description=" ".join(description.split()),
                **forms,
            )
            self.operations.append((operation, handler))
            return handler

        return add

    def register(self, app: Flask, parts: Parts) -> list[Operation]:
        blueprint = Blueprint(self.tag, __name__)
        for operation, handler in self.operations:
            blueprint.add_url_rule(
                operation.path,
                endpoint=operation.name,
                view_func=_view(operation, handler, parts),
                methods=[operation.method],
            )
        app.register_blueprint(blueprint)
        return [operation for operation, _ in self.operations]


def _view(operation: Operation, handler: Handler, parts: Parts) -> Callable[..., Response]:
    has_body = operation.method in ("POST", "PUT", "PATCH") and not isinstance(operation.body, Upload)
    reads_body = has_body or isinstance(operation.body, FormOrJson)  # which DELETE may have as well

    @allow(operation.policy)
    def view(**arguments: Any) -> Response:
        check_path(arguments)
        if operation.query is not None:
            arguments["query"] = read_query(request, operation.query)
        is_list = False
        if reads_body:
            body, is_list = read_body(request, operation.body)  # type: ignore[arg-type]
            if operation.body is not None:
                arguments["body"] = body
        return handler(Call(parts, g.identity, operation, is_list), **arguments)

    return view
