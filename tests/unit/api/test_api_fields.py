"""The types of fields: what they accept, and what they make of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.api.fields import Input, Integer, Moment, Name


class Form(Input):
    name: Name = "n"
    count: Integer = 1
    at: Moment | None = None


@pytest.mark.parametrize("name", ["r1", "Счета", "a b", "x" * 120, "a.b", "50%", "a#b?c", "日本", "😀"])
def test_names_that_people_give(name: str) -> None:
    assert Form.model_validate({"name": name}).name == name


@pytest.mark.parametrize(
    "name",
    ["", " ", " a", "a ", "a/b", "a\\b", ".", "..", "a\tb", "a\x00", "a\x7f", "x" * 121, "0" * 32, 1, None],
)
def test_names_that_would_be_lost(name: Any) -> None:
    with pytest.raises(ValidationError):
        Form.model_validate({"name": name})


def test_whole_numbers_may_be_written_as_floats() -> None:
    assert Form.model_validate({"count": 5.0}).count == 5
    for wrong in (5.5, "5", True, None, float("inf")):
        with pytest.raises(ValidationError):
            Form.model_validate({"count": wrong})


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T09:30:00Z",
        "2026-03-01t09:30:00z",
        "2026-03-01 09:30:00+00:00",
        "2026-03-01T12:30:00+03:00",
        "2026-02-28T21:30:00.000-12:00",
    ],
)
def test_a_time_is_rfc_3339_and_becomes_utc(text: str) -> None:
    assert Form.model_validate({"at": text}).at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        *["", "now", "2026-03-01", "20260301T093000Z", "2026-03-01T09:30:00", "2026-13-01T00:00:00Z", 0, 1e9],
        *["1969-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"],
    ],
)
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        Form.model_validate({"at": value})


def test_the_schema_says_the_same() -> None:
    schema = TypeAdapter(Form).json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["count"]["type"] == "integer"
    assert schema["properties"]["name"]["maxLength"] == 120
