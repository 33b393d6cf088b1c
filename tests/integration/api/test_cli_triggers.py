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
        return result.stdout

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


def settings_of(say: Say, name: str) -> Any:
    shown = json.loads(say(triggers, "show", name, "--json"))
    return shown["kind"], shown["settings"]


def test_a_trigger_waits_for_a_queue(say: Say, admin: Caller, process: str) -> None:
    admin.post("/api/v1/queues", json={"name": "invoices"})
    rule = ["--process", process, "--queue", "invoices", "--at-least", "10", "--at-most", "3"]
    more = ["--max-age", "900", "--where", '{"parameters.region": "ES"}']
    assert say(triggers, "create", "work off", *rule, *more) == "work off waits: queue invoices\n"
    kind, settings = settings_of(say, "work off")
    assert kind == "queue"
    assert settings == {
        "queue": "invoices",
        "where": {"parameters.region": "ES"},
        "min_resources": 10,
        "max_jobs": 3,
        "max_age_seconds": 900,
    }
    assert "queue invoices" in say(triggers, "list", "--kind", "queue")
    with pytest.raises(Refusal, match=r"settings\.queue"):
        say(triggers, "create", "nothing", "--process", process, "--queue", "none")


def test_a_trigger_waits_for_the_end_of_another_process_job(say: Say, process: str) -> None:
    rule = ["--process", process, "--after", process]
    assert say(triggers, "create", "next", *rule) == f"next waits: after {process}\n"
    assert settings_of(say, "next") == ("job_end", {"process": process, "states": ["Success"]})
    say(triggers, "create", "mend", *rule, "--state", "failed", "--state", "Aborted")
    assert settings_of(say, "mend")[1]["states"] == ["Failed", "Aborted"]


def test_a_trigger_by_call_tells_its_address_once(say: Say, app: Flask, process: str) -> None:
    rule = ["--process", process, "--by-call", "--calls-per-minute", "30"]
    address = say(triggers, "create", "from the shop", *rule).strip()
    assert address.startswith("http://botswain/api/v1/calls/bstr_")
    assert settings_of(say, "from the shop") == ("call", {"calls_per_minute": 30})
    path = address.removeprefix("http://botswain")
    assert path.rpartition("/")[2] not in say(triggers, "show", "from the shop", "--json")
    anybody = app.test_client()
    assert anybody.post(path, json={"order": 4711}).json["state"] == "fired"  # type: ignore[index]
    other = say(triggers, "secret", "from the shop", "--keep-former", "0").strip()
    assert anybody.post(path).status_code == 404
    assert anybody.post(other.removeprefix("http://botswain")).status_code == 201
