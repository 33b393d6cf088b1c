"""A queue's JSON Schema (2020-12): what the values of its resources must look like.

Schema and value are both somebody's input. Patterns are matched in linear time, which is why they know
neither lookaround nor references back; what a schema refers to is looked for in itself only, never fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.errors import FieldError, Invalid

# Imported where a queue has a schema: every node imports this file, and few ever look into a schema.
if TYPE_CHECKING:
    import jsonschema_rs


def check_schema(schema: Any | None) -> None:
    """Raises `Invalid` where it is no schema, or one that cannot be followed."""
    if schema is not None:
        _validator(schema)


def check_values(schema: Any | None, values: Mapping[str, Any]) -> None:
    """Raises `Invalid` naming all places of `values` (by the name of each) at which one does not fit."""
    if schema is None:
        return
    validator = _validator(schema)
    errors = []
    for name, value in values.items():
        if found := next(iter(validator.iter_errors(value)), None):
            place = ".".join([name, *(str(step) for step in found.instance_path)])
            errors.append(FieldError(place, f"the queue's schema says: {found.message[:200]}"))
    if errors:
        raise Invalid(errors=errors)


def _validator(schema: Any) -> jsonschema_rs.Draft202012Validator:
    import jsonschema_rs

    try:
        return jsonschema_rs.Draft202012Validator(
            schema, pattern_options=jsonschema_rs.RegexOptions(), retriever=_nowhere
        )
    except jsonschema_rs.ValidationError as error:
        place = ".".join(["json_schema", *(str(step) for step in error.instance_path)])
        raise Invalid.field(place, f"it is not a JSON Schema: {error.message[:300]}") from None


def _nowhere(uri: str) -> Any:
    raise LookupError(f"{uri} is not within the schema")
