"""What a robot may hand over as its result, in a form and in JSON."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from orchestrator.api.robot_fields import Fields
from orchestrator.errors import Invalid

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@pytest.mark.parametrize("value", ["text", "7", "\\u0000", 2**70, 1.5, False, [], {"a": {"b": ["счёт"]}}])
def test_a_result_is_any_json_value(value: Any) -> None:
    form = urlencode({"result": json.dumps(value)}).encode()
    assert Fields.read(form, FORM).document("result") == value
    assert Fields.read(json.dumps({"result": value}).encode(), JSON).document("result") == value


@pytest.mark.parametrize(
    "text", ["{", "NaN", "1e999", '"\\u0000"', '"\\ud800"', "[" * 29 + "]" * 29, "[" * 100_000]
)
def test_what_no_database_keeps_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        Fields.read(urlencode({"result": text}).encode(), FORM).document("result")
    assert refused.value.errors[0].field.startswith("result")
    with pytest.raises(Invalid):
        Fields.read(f'{{"result": {text}}}'.encode(), JSON).document("result")


def test_nothing_is_no_result() -> None:
    assert Fields.read(b"result=", FORM).document("result") is None
    assert Fields.read(b"{}", JSON).document("result") is None
