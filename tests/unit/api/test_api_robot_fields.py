"""The robot protocol's forms: what is written twice or in other bytes than it says is named, not guessed."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from orchestrator.api.robot_fields import Fields
from orchestrator.errors import Invalid

FORM = "application/x-www-form-urlencoded"


def refused(body: bytes, name: str, content_type: str = FORM) -> str:
    with pytest.raises(Invalid) as refusal:
        Fields.read(body, content_type).text(name)
    return str(refusal.value.errors[0].field)


def test_a_form_may_be_in_the_encoding_that_it_names() -> None:
    name = "Бухгалтерия-1"
    for charset in ("utf-8", "windows-1251", "UTF-8"):
        for body in (f"Machine={quote(name, encoding=charset)}".encode(), f"Machine={name}".encode(charset)):
            assert Fields.read(body, f"{FORM}; charset={charset}").text("Machine") == name


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"Machine=%ff", FORM),
        (b"Machine=\xff", FORM),
        (b"Machine=x", f"{FORM}; charset=no-such"),
        ("Machine=я".encode("windows-1251"), f"{FORM}; charset=utf-8"),
    ],
)
def test_bytes_that_are_no_text_are_refused(body: bytes, content_type: str) -> None:
    assert refused(body, "Machine", content_type) == "body"


def test_a_field_that_is_given_twice_is_named_where_it_counts() -> None:
    assert refused(b"Status=2&Status=1", "Status") == "Status"
    assert Fields.read(b"Other=1&Other=2&Machine=x", FORM).text("Machine") == "x", "unknown ones are ignored"
