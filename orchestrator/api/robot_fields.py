"""Reading the robot protocol's requests: who asks, and the fields, each with an error that names it."""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.http import parse_options_header

from orchestrator.api.json_input import read_json
from orchestrator.errors import Invalid, Unauthenticated
from orchestrator.jobs.heartbeat import Beat
from orchestrator.jobs.report import Report
from orchestrator.jobs.states import Status
from orchestrator.robots.doubles import Program
from orchestrator.robots.lifecycle import bare_guid, normal_guid
from orchestrator.robots.model import RobotStatus

WAIT_LIMIT = 55.0
TEXT_LIMIT = 255


@dataclass(frozen=True)
class Credentials:
    """`Authorization: Basic base64(GUID)` or `base64(GUID:secret)`; an empty secret is none."""

    guid: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def read(cls, header: str | None) -> Credentials:
        scheme, _, value = (header or "").strip().partition(" ")
        if scheme.lower() != "basic" or not value.strip():
            raise Unauthenticated("Send the header Authorization: Basic base64(<RobotGUID>).")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise Unauthenticated("The Authorization header is not base64 of a RobotGUID.") from None
        guid, _, secret = text.partition(":")
        bare = bare_guid(guid)
        if not bare:
            raise Unauthenticated("The Authorization header holds no RobotGUID.")
        return cls(bare, secret)


class Fields:
    """The fields of a body, form or JSON, by their exact names. Unknown ones are ignored."""

    def __init__(self, values: Mapping[str, Any], is_json: bool, twice: Container[str] = ()) -> None:
        self._values = values
        self._is_json = is_json
        self._twice = twice

    @classmethod
    def read(cls, body: bytes, content_type: str) -> Fields:
        kind, parameters = parse_options_header(content_type)
        if kind.lower() == "application/json":
            return cls(_json_object(body), is_json=True)
        charset = parameters.get("charset", "utf-8")
        try:
            pairs = parse_qsl(
                body.decode(charset),
                keep_blank_values=True,
                encoding=charset,
                errors="strict",
                max_num_fields=100,
            )
        except (ValueError, LookupError):  # bytes that are none of it, too many fields; no such encoding
            raise Invalid.field("body", f"it cannot be read as form fields in {charset[:40]}") from None
        named = Counter(name for name, _ in pairs)
        return cls(dict(pairs), is_json=False, twice={name for name, count in named.items() if count > 1})

    def _given(self, name: str) -> Any:
        if name in self._twice:
            raise Invalid.field(name, "it is given more than once")
        return self._values.get(name)

    def text(self, name: str, limit: int = TEXT_LIMIT) -> str:
        value = self._given(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Invalid.field(name, "it must be a text")
        text = str(value)
        if len(text) > limit:
            raise Invalid.field(name, f"it is longer than {limit} characters")
        _refuse_unstorable(name, text)
        return text

    def number(self, name: str, low: int, high: int) -> int | None:
        value = self._given(name)
        if value is None or value == "":
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise Invalid.field(name, "it must be a whole number")
        text = str(value).strip()
        if not text.isascii() or not text.removeprefix("-").isdigit() or len(text) > 12:
            raise Invalid.field(name, f"{text[:40]!r} is not a whole number")
        number = int(text)
        if not low <= number <= high:
            raise Invalid.field(name, f"{number} is not in its table ({low} to {high})")
        return number

    def guid(self, name: str) -> str:
        """The GUID in its normal form, or "" where the field is empty or missing."""
        text = self.text(name, 64)
        if not text.strip():
            return ""
        try:
            return normal_guid(text)
        except Invalid:
            raise Invalid.field(name, f"{text!r} is not a GUID") from None

    def seconds(self, name: str) -> float:
        value = self._given(name)
        if value in (None, ""):
            return 0.0
        try:
            seconds = float(value) if not isinstance(value, bool) else float("nan")
        except (TypeError, ValueError):
            seconds = float("nan")
        if not seconds >= 0:
            raise Invalid.field(name, f"{str(value)[:40]!r} is not a number of seconds from 0 to 55")
        return min(seconds, WAIT_LIMIT)

    def document(self, name: str) -> Any:
        """A JSON value: as it is in a JSON body, in its text form in a form field."""
        value = self._given(name)
        if value is None or value == "":
            return None
        # A result is not lost for a wide number: it is stored as it is written.
        return value if self._is_json else read_json(value.encode("utf-8"), name, wide_numbers=True)


def heartbeat(fields: Fields) -> tuple[Beat, float]:
    """What the robot says of itself, and how many seconds it will wait for a job."""
    status = fields.number("Status", RobotStatus.DISCONNECTED, RobotStatus.WORKING)
    if status is None:
        raise Invalid.field("Status", "it is missing; say 2 (ready) or 3 (working)")
    fields.number("JobType", 1, 1)
    fields.text("JobName", 1000)
    beat = Beat(
        status=status,
        job_guid=fields.guid("JobGUID"),
        machine=fields.text("Machine"),
        ip=fields.text("IP", 64),
        mac=fields.text("MAC", 64),
        instance=fields.text("Instance", 64),
    )
    return beat, fields.seconds("Wait")


def program(fields: Fields) -> Program:
    """Who speaks, as far as it says so: the document's robots do only in heartbeats."""
    return Program(machine=fields.text("Machine"), instance=fields.text("Instance", 64))


def report(fields: Fields) -> Report:
    guid = fields.guid("guid")
    if not guid:
        raise Invalid.field("guid", "it is missing; name the job")
    status = fields.number("status", 0, 8)
    if status is None:
        raise Invalid.field("status", "it is missing; say which state the job is in, 0 to 8")
    return Report(
        guid=guid,
        status=Status(status),
        result=fields.document("result"),
        error=fields.text("error", 100_000) or None,
        progress=fields.number("progress", 0, 100),
        fence=fields.number("fence", 0, 2**40),
    )


def _json_object(body: bytes) -> dict[str, Any]:
    value = read_json(body, wide_numbers=True)
    if not isinstance(value, dict):
        raise Invalid.field("body", "it must be a JSON object")
    return value


def _refuse_unstorable(name: str, text: str) -> None:
    if "\x00" in text:
        raise Invalid.field(name, "it holds a NUL character, which databases refuse")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Invalid.field(name, "it holds half of a surrogate pair, which is not text") from None
