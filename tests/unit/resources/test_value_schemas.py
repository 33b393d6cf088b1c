"""What a queue's schema asks of values, and what no schema and no value can do to the node that looks."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import Invalid
from orchestrator.resources.schemas import check_schema, check_values


def places(schema: Any, **values: Any) -> list[str]:
    try:
        check_values(schema, values)
    except Invalid as refusal:
        return [error.field for error in refusal.errors]
    return []


def test_each_value_that_does_not_fit_is_named_with_its_place() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}
    assert places(schema, first={"a": [1, "x"]}, second={"a": [1]}, third={"a": [None]}) == [
        "first.a.1",
        "third.a.0",
    ]
    assert places(None, value=object()) == []


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "strng"}, "json_schema.type"),
        ({"properties": {"a": {"minimum": "1"}}}, "json_schema.properties.a.minimum"),
        ([1], "json_schema"),
        ({"pattern": "(?=a)b"}, "json_schema.pattern"),
        ({"pattern": r"(a)\1"}, "json_schema.pattern"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "json_schema"),
        ({"$ref": "file:///etc/passwd"}, "json_schema"),
        ({"$ref": "#/$defs/none"}, "json_schema"),
        ({"$dynamicRef": "#x"}, "json_schema"),
    ],
)
def test_what_is_no_schema_or_leads_out_of_itself_is_refused(schema: Any, place: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_schema(schema)
    assert [error.field for error in refusal.value.errors] == [place]
    assert "root:" not in str(refusal.value.errors)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 100_000 + "!"),
        ({"pattern": r"^(\w+\s?)*$"}, "word " * 20_000 + "!"),
        ({"uniqueItems": True}, [{"n": n} for n in range(20_000)] + [{"n": 1.0}]),
    ],
)
def test_no_value_takes_longer_than_its_length(schema: Any, value: Any) -> None:
    assert places(schema, value=value) == ["value"]


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert places({"$ref": "#"}, value=1) == []
    tree = {"properties": {"child": {"$ref": "#"}}, "required": ["n"]}
    assert places(tree, value={"n": 1, "child": {"n": 2, "child": {}}}) == ["value.child.child"]
