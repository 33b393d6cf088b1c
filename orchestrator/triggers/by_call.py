"""Triggers by call: whoever has the trigger's secret starts a job, and may say with what arguments."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from orchestrator.transaction import Transaction
from orchestrator.triggers.kind import Checked, Kind, Settings, read

KIND = "call"
PREFIX = "bstr_"  # by which a secret that lies about can be known for one


class CallSettings(Settings):
    """`calls_per_minute` is how often it may be called; beyond that a caller is told to come back later."""

    calls_per_minute: Annotated[int, Field(ge=1, le=6000)] = 60


def check(_tx: Transaction, given: Mapping[str, Any]) -> Checked:
    return Checked(read(CallSettings, given).model_dump())


CALL = Kind(KIND, check)


def secret_of(key: bytes) -> str:
    """The text of a secret: 256 bits that mean nothing."""
    return PREFIX + base64.urlsafe_b64encode(key).decode().rstrip("=")
