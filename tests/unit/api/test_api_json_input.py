"""What JSON is read, and what is refused with its place named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.api.json_input import DEPTH_LIMIT, read_json
from orchestrator.errors import Invalid


@pytest.mark.parametrize(
    "value",
    [{}, [], None, True, "", "счёт 💶 \n", 2**63 - 1, -(2**63), 0.1, -1e308, {"a": [1, {"b": None}]}],
)
def test_json_is_read_as_it_is(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value
    assert read_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b"{", "body", "line 1 column 2"),
        (b'{"a": 1,\n "b": }', "body", "line 2 column 7"),
        (b"{'a': 1}", "body", "cannot be read as JSON"),
        (b"\xff{}", "body", "not UTF-8"),
        (b'{"a": NaN}', "body", "NaN is not JSON"),
        (b"[-Infinity]", "body", "-Infinity is not JSON"),
        (b"[1e400]", "body", "too large"),
        (b"[" + b"9" * 5000 + b"]", "body", "cannot be read as JSON"),
        (b"[" * 100_000, "body", ""),
        (b'{"a": {"b": 9223372036854775808}}', "a.b", "64 bits"),
        (b"[0, -9223372036854775809]", "1", "64 bits"),
        (b'{"a": ["x\\u0000"]}', "a.0", "NUL"),
        (b'{"a\\u0000": 1}', "body", "NUL"),
        (b'{"a": "\\ud800"}', "a", "surrogate"),
        (b'{"\\udc00": 1}', "body", "surrogate"),
        (b'"\\ud83d\\u0041"', "body", "surrogate"),
    ],
)
def test_what_no_database_keeps_is_refused(body: bytes, field: str, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_json(body)
    (error,) = refused.value.errors
    assert error.field == field
    assert message in error.message


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return b"[" * depth + b"1" + b"]" * depth

    read_json(nested(DEPTH_LIMIT - 1))
    with pytest.raises(Invalid, match="nested"):
        read_json(nested(DEPTH_LIMIT + 1))


def test_a_place_in_an_error_is_short_and_can_be_shown() -> None:
    key = "\\u0001" * 500
    with pytest.raises(Invalid) as refused:
        read_json(b'{"' + key.encode() + b'": 99999999999999999999}')
    assert len(refused.value.errors[0].field) <= 200
