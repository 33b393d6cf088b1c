"""The OpenAPI 3.1 document, made from the same operations that the routes are registered with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema

from orchestrator import __version__
from orchestrator.api import robot_protocol_schema
from orchestrator.api.auth import ROBOT, Policy
from orchestrator.api.idempotency import HEADER, LENGTH_LIMIT
from orchestrator.api.operation import Content, FormOrJson, OneOrMany, Operation, OrNothing, Upload
from orchestrator.api.problems import MEDIA_TYPE

BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
REFERENCE = "#/components/schemas/{model}"
PARAMETER = re.compile(r"<(?:(?P<kind>\w+)(?:\((?P<bounds>[^)]*)\))?:)?(?P<name>\w+)>")
PROBLEM = {
    "type": "object",
    "description": "What went wrong (RFC 9457). `code` is stable; `errors` names the fields at fault.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "job_status": {"type": "integer"},
        "lock": {"enum": ["read", "write"]},
        "holder": {
            "type": "object",
            "required": ["kind", "id"],
            "properties": {"kind": {"enum": ["run", "person"]}, "id": {"type": ["string", "null"]}},
        },
        "until": {"type": ["string", "null"], "format": "date-time"},
        "cycle": {"type": "array", "items": {"type": "string"}},
        "reference": {"type": "string"},
    },
}
KEY_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The same key with the same body gets the first answer again, and does nothing twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LENGTH_LIMIT, "pattern": "^[!-~]+$"},
}


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The whole document, the robot protocol included."""
    forms = _Forms(operations)
    paths: dict[str, Any] = {}
    for operation in operations:
        path = PARAMETER.sub(lambda match: "{" + match["name"] + "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, forms)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Botswain",
            "version": __version__,
            "description": "The crew chief for software robots: robots, processes, jobs and the cluster.",
        },
        "paths": paths | robot_protocol_schema.PATHS,
        "components": {
            "schemas": forms.definitions | {"Problem": PROBLEM} | robot_protocol_schema.SCHEMAS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "robot": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The robot's GUID as user name, its secret, if it has one, as password.",
                },
            },
        },
    }


def encoded(operations: Sequence[Operation]) -> bytes:
    """The document as it is served."""
    return json.dumps(document(operations), ensure_ascii=False).encode()


class _Bounded(GenerateJsonSchema):
    """Pydantic leaves a bound behind a validator under its own name, which means nothing to a client."""

    def generate_inner(self, schema: CoreSchema) -> JsonSchemaValue:
        made = super().generate_inner(schema)
        return {BOUNDS.get(name, name): form for name, form in made.items()}


class _Forms:
    """The schemas of everything that goes in or out, made together so that they share definitions."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        wanted: list[tuple[tuple[str, str], JsonSchemaMode, TypeAdapter[Any]]] = []
        for operation in operations:
            wrapped = isinstance(operation.body, OneOrMany | OrNothing | FormOrJson)
            model = operation.body.model if wrapped else operation.body  # type: ignore[union-attr]
            if isinstance(model, type):
                wanted.append(((operation.name, "body"), "validation", TypeAdapter(model)))
            if operation.answer is not None and not isinstance(operation.answer, Content):
                wanted.append(((operation.name, "answer"), "serialization", operation.adapter))
        made, rest = TypeAdapter.json_schemas(wanted, ref_template=REFERENCE, schema_generator=_Bounded)
        self._made = {key: schema for (key, _), schema in made.items()}
        self.definitions: dict[str, Any] = rest.get("$defs", {})

    def of(self, operation: Operation, part: str) -> Any:
        return self._made[operation.name, part]


def _operation(operation: Operation, forms: _Forms) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.description, _who(operation.policy)))),
        "parameters": [*_parameters(operation)],
        "responses": {
            str(operation.status): _success(operation, forms),
            **{str(status): {"description": HTTPStatus(status).phrase} for status in operation.answers},
            **{str(status): _problem(status) for status in _failures(operation)},
        },
        "security": _security(operation.policy),
    }
    if isinstance(operation.answer, Content) and operation.answer.binary:
        described["responses"]["304"] = {"description": "What the caller has (If-None-Match) is still right."}
    if operation.body is not None:
        is_required = not isinstance(operation.body, OrNothing)
        described["requestBody"] = {"required": is_required, "content": _body(operation, forms)}
    return described


def _who(policy: Policy) -> str:
    if isinstance(policy.value, frozenset):
        return f"For: {', '.join(sorted(policy.value))}."
    return f"For: {policy.value}."


def _security(policy: Policy) -> list[dict[str, list[str]]]:
    if policy in (Policy.PUBLIC, Policy.OWN):
        return []
    if policy is Policy.SCRAPER:
        return [{}, {"token": []}]
    return [{"token": []}, {"robot": []}] if ROBOT in policy.value else [{"token": []}]


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for match in PARAMETER.finditer(operation.path):
        schema: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
        if match["kind"] == "int":
            bounds = dict(bound.strip().split("=") for bound in match["bounds"].split(","))
            schema = {"type": "integer", "minimum": int(bounds.get("min", 0)), "maximum": int(bounds["max"])}
        yield {"name": match["name"], "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        yield from _query_parameters(operation.query)
    for name, meaning in operation.headers.items():
        schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}
        yield {"name": name, "in": "header", "required": False, "description": meaning, "schema": schema}
    if operation.method == "POST":
        yield KEY_PARAMETER


def _query_parameters(model: type[BaseModel]) -> Iterable[dict[str, Any]]:
    schema = model.model_json_schema(mode="validation", schema_generator=_Bounded)
    for name, form in schema["properties"].items():
        given = [one for one in form.get("anyOf", [form]) if one != {"type": "null"}]
        plain = given[0] if len(given) == 1 else {"anyOf": given}
        yield {"name": name, "in": "query", "required": False, "schema": plain}


def _body(operation: Operation, forms: _Forms) -> dict[str, Any]:
    if isinstance(operation.body, Upload):
        return {"multipart/form-data": {"schema": _upload(operation.body)}}
    schema = forms.of(operation, "body")
    if isinstance(operation.body, OneOrMany):
        many = {"type": "array", "items": schema, "minItems": 1, "maxItems": operation.body.limit}
        schema = {"anyOf": [schema, many]}
    if isinstance(operation.body, FormOrJson):
        return {
            kind: {"schema": schema} for kind in ("application/json", "application/x-www-form-urlencoded")
        }
    return {"application/json": {"schema": schema}}


def _upload(upload: Upload) -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in upload.texts}
    return {
        "type": "object",
        "required": [upload.file],
        "additionalProperties": False,
        "properties": {upload.file: {"type": "string", "format": "binary"}, **texts},
    }


def _success(operation: Operation, forms: _Forms) -> dict[str, Any]:
    described: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    answer = operation.answer
    if isinstance(answer, Content):
        schema = {"type": "string", "format": "binary"} if answer.binary else {}
        described["content"] = {answer.media_type: {"schema": schema}}
    elif answer is not None:
        described["content"] = {"application/json": {"schema": forms.of(operation, "answer")}}
    return described


def _failures(operation: Operation) -> list[int]:
    """Every status that is not success, but 500, which would be a mistake of the server."""
    statuses = {503}
    if operation.policy is Policy.OWN:
        statuses |= {404, 429}
    elif operation.policy is not Policy.PUBLIC:
        statuses |= {401, 403}
    if "<" in operation.path or operation.name == "get_robot_agent":
        statuses.add(404)
    if operation.query is not None:
        statuses.add(400)
    if operation.method in ("POST", "PATCH", "PUT") or operation.body is not None:
        statuses |= {400, 409, 413, 415}
    if operation.method == "POST":
        statuses |= {422}
    if operation.method == "DELETE" or "wait_seconds" in getattr(operation.query, "model_fields", ()):
        statuses.add(409)
    if operation.tag.startswith("sherpa"):
        statuses |= {404, 409}  # the query names what is read, and it may be locked by another
    if operation.body is not None:
        statuses.add(404)  # what the body names may be gone
    return sorted(statuses)


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": REFERENCE.format(model="Problem")}
    described: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if status == 401:
        described["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return described
