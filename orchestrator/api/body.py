"""Reading what comes with a request: JSON bodies, queries, uploads and names in the path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from flask import Request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import UnsupportedMediaType

from orchestrator.api.json_input import check_value, read_json
from orchestrator.api.operation import FormOrJson, OneOrMany, OrNothing
from orchestrator.errors import FieldError, Invalid, NotFound

Model = TypeVar("Model", bound=BaseModel)
PATH_NAME_LIMIT = 200
ERRORS_SHOWN = 100
FORM_FIELDS = 100


Form = type[BaseModel] | OneOrMany | OrNothing | FormOrJson | None


def read_body(request: Request, form: Form) -> tuple[Any, bool]:
    """The body as `form` wants it (a model, a list of them for `OneOrMany`, or nothing), and whether it was
    a list."""
    raw = request.get_data()
    if not raw and form is None:
        return None, False
    if not raw and isinstance(form, OrNothing):
        return _validate(form.model, {}), False
    if request.content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("Send the body as it is: no Content-Encoding is read here.")
    if isinstance(form, FormOrJson):
        return _validate(form.model, _form_or_json(request, raw)), False
    if raw and request.mimetype != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json.")
    if not raw:
        raise Invalid.field("body", "it is missing; send a JSON object")
    value = read_json(raw)
    if form is None:
        if value != {}:
            raise Invalid.field("body", "this takes no fields; send {} or nothing")
        return None, False
    if isinstance(form, OneOrMany):
        return _read_many(form, value), isinstance(value, list)
    return _validate(form.model if isinstance(form, OrNothing) else form, value), False


def _form_or_json(request: Request, raw: bytes) -> Any:
    if not raw:
        return {}
    if request.mimetype == "application/json":
        return read_json(raw)
    if request.mimetype != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("Send the body as form fields or as JSON, and say which in Content-Type.")
    try:
        pairs = parse_qsl(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=FORM_FIELDS)
    except ValueError:
        raise Invalid.field("body", "it cannot be read as form fields in UTF-8") from None
    check_value(values := dict(pairs))
    return values


def _read_many(form: OneOrMany, value: Any) -> list[BaseModel]:
    if not isinstance(value, list):
        return [_validate(form.model, value)]
    if not 1 <= len(value) <= form.limit:
        raise Invalid.field("body", f"the list has {len(value)} items; send 1 to {form.limit}")
    models: list[BaseModel] = []
    errors: list[FieldError] = []
    for index, item in enumerate(value):
        try:
            models.append(_validate(form.model, item))
        except Invalid as invalid:
            errors += [FieldError(f"{index}.{one.field}", one.message) for one in invalid.errors]
    if errors:
        raise Invalid(errors=errors[:ERRORS_SHOWN])
    return models


def _validate(model: type[Model], value: Any) -> Model:
    if not isinstance(value, dict):
        raise Invalid.field("body", "it must be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(errors=field_errors(error)) from None


def read_query(request: Request, model: type[Model]) -> Model:
    """The query, each parameter once; texts become numbers and times where the field is one."""
    given: dict[str, str] = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Invalid.field(name[:200], "it is given more than once")
        if "\x00" in values[0]:
            raise Invalid.field(name[:200], "it holds a NUL character")
        given[name] = values[0]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise Invalid(errors=field_errors(error)) from None


def check_path(values: Mapping[str, Any]) -> None:
    """Names in the path that nothing can have are found nowhere."""
    for value in values.values():
        if isinstance(value, str) and (len(value) > PATH_NAME_LIMIT or not _is_storable(value)):
            raise NotFound("Nothing has such a name.")


def _is_storable(text: str) -> bool:
    return text.isprintable() or not any(c == "\x00" or 0xD800 <= ord(c) <= 0xDFFF for c in text)


def field_errors(error: ValidationError) -> Sequence[FieldError]:
    """Pydantic's list as ours: the place, dots between its parts, and what to do."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldError(_place(one["loc"]), _message(one)) for one in found[:ERRORS_SHOWN]]


def _place(parts: tuple[int | str, ...]) -> str:
    return (".".join(str(part) for part in parts) or "body")[:200].replace("\x00", "\\0")


def _message(one: Any) -> str:
    if one["type"] == "extra_forbidden":
        return "there is no such field"
    if one["type"] == "missing":
        return "it is missing"
    text = str(one["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
