"""The commands for triggers and calendars, against the real application."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from flask import Flask

from orchestrator.cli.calendars import calendars
from orchestrator.cli.client import Client
from orchestrator.cli.refusal import Refusal
from orchestrator.cli.triggers import triggers
from tests.integration.api.conftest import Caller

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
Say = Callable[..., str]


@pytest.fixture
def say(app: Flask, admin: Caller, monkeypatch: pytest.MonkeyPatch) -> Say:
    """What a command prints that people would call as the administrator."""
    headers = {"Authorization": admin.authorization}

    def client() -> Client:
        transport = httpx.WSGITransport(app=app)
        return Client(httpx.Client(transport=transport, base_url="http://botswain", headers=headers))

    monkeypatch.setattr(Client, "from_environment", client)

    def call(command: Any, *arguments: str) -> str:
        result = CliRunner().invoke(command, arguments, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.output

    return call


def test_a_trigger_is_made_tried_fired_and_deleted(say: Say, process: str) -> None:
    made = ["--country", "ES", "--day-off", "2030-12-24", "--weekday", "1", "--weekday", "2"]
    assert say(calendars, "create", "office", *made) == "office\n"
    assert "2030-12-24" in say(calendars, "show", "office", "--year", "2030")
    assert "ES" in say(calendars)
    rule = ["--process", process, "--cron", "0 9 * * *", "--calendar", "office", "-a", "n=1"]
    assert "is due next at" in say(triggers, "create", "daily", *rule, "--overlap", "skip")
    assert "0 9 * * * UTC" in say(triggers)
    told = say(triggers, "test", "daily", "--count", "3").splitlines()
    assert sum("left out" not in line for line in told) == 3
    assert "left out: Wednesday" in " ".join(told)
    assert say(triggers, "test", "daily", "--fire").splitlines()[-1].startswith("fired ")
    assert "skipped overlap" in say(triggers, "test", "daily", "--fire")
    states = [one["state"] for one in json.loads(say(triggers, "firings", "daily", "--json"))]
    assert states == ["skipped", "fired"]
    assert "overlap" in say(triggers, "firings", "daily", "--state", "skipped")
    assert say(triggers, "disable", "daily") == "daily is now disabled\n"
    assert "disabled" in say(triggers, "list", "--kind", "cron")
    assert say(triggers, "enable", "daily") == "daily is now enabled\n"
    assert "office" in say(triggers, "show", "daily")
    assert say(triggers, "delete", "daily") == ""
    assert say(calendars, "delete", "office") == ""


def test_one_kind_of_time_is_given(say: Say, process: str) -> None:
    assert "is due next" in say(triggers, "create", "often", "--process", process, "--every", "600")
    assert "each 600 s" in say(triggers)
    for when in ([], ["--every", "60", "--at", "2030-01-01T00:00:00Z"]):
        with pytest.raises(Refusal, match="give one of them"):
            say(triggers, "create", "x", "--process", process, *when)
