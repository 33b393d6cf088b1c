"""REST v1: triggers and calendars, from their creation to their firings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.api.conftest import Caller

sqlite = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
NIGHTLY = {"name": "nightly", "kind": "cron", "settings": {"expression": "30 2 * * *"}, "process": "invoices"}


def test_a_trigger_from_creation_to_deletion(admin: Caller, process: str) -> None:
    made = admin.post("/api/v1/triggers", NIGHTLY | {"time_zone": "Europe/Madrid", "priority": 3})
    assert made.status_code == 201, made.text
    trigger = made.json
    assert (trigger["process"], trigger["enabled"], trigger["on_missed"]) == (process, True, "once")
    assert trigger["next_due"].endswith(("T00:30:00Z", "T01:30:00Z"))
    assert admin.get("/api/v1/triggers/nightly").json == trigger
    assert admin.get("/api/v1/triggers?kind=cron&enabled=true").json["items"] == [trigger]
    assert admin.get("/api/v1/triggers?enabled=false").json["items"] == []
    changed = admin("PATCH", "/api/v1/triggers/nightly", json={"settings": {"expression": "0 4 * * *"}})
    assert changed.json["next_due"].endswith(("T02:00:00Z", "T03:00:00Z"))
    assert admin.post("/api/v1/triggers/nightly/disable").json["next_due"] is None
    assert admin.post("/api/v1/triggers/nightly/enable").json["next_due"] == changed.json["next_due"]
    assert admin("DELETE", "/api/v1/triggers/nightly").status_code == 204
    assert admin.get("/api/v1/triggers/nightly").status_code == 404


def test_a_trial_tells_what_comes_and_fires_only_if_asked_to(admin: Caller, process: str) -> None:
    admin.post("/api/v1/triggers", NIGHTLY | {"settings": {"expression": "0 9 * * *"}, "arguments": {"n": 1}})
    told = admin.post("/api/v1/triggers/nightly/test", {"count": 3}).json
    assert len(told["items"]) == 3 and told["firing"] is None
    assert admin.get("/api/v1/jobs").json["items"] == []
    fired = admin.post("/api/v1/triggers/nightly/test", {"fire": True}).json["firing"]
    assert (fired["state"], fired["reason"]) == ("fired", None)
    (job,) = admin.get("/api/v1/jobs").json["items"]
    assert ([job["guid"]], job["created_by"]) == (fired["jobs"], "trigger:nightly")
    assert job["arguments"] == {"n": 1}
    assert admin.get("/api/v1/triggers/nightly/firings?state=fired").json["items"] == [fired]


def test_a_calendar_leaves_days_out_and_says_why(admin: Caller, process: str) -> None:
    spain = {"name": "Madrid", "country": "ES", "subdivision": "MD", "days_off": {"2030-12-24": "closed"}}
    assert admin.post("/api/v1/calendars", spain).status_code == 201
    days = admin.get("/api/v1/calendars/Madrid/days-off?year=2030").json["items"]
    assert {"date": "2030-12-24", "weekday": 2, "why": "closed"} in days
    assert any(day["date"] == "2030-12-25" for day in days)
    admin.post("/api/v1/triggers", NIGHTLY | {"calendar": "Madrid"})
    coming = admin.post("/api/v1/triggers/nightly/test", {"count": 7}).json["items"]
    assert {one["left_out"] for one in coming} >= {None, "Saturday", "Sunday"}
    assert admin("DELETE", "/api/v1/calendars/Madrid").status_code == 409
    changed = admin("PATCH", "/api/v1/calendars/Madrid", json={"country": None, "weekdays": [7, 1]})
    assert (changed.json["weekdays"], changed.json["subdivision"]) == ([1, 7], None)
    coming = admin.post("/api/v1/triggers/nightly/test", {"count": 7}).json["items"]
    assert {"Tuesday", "Saturday"} <= {one["left_out"] for one in coming}
    admin("DELETE", "/api/v1/triggers/nightly")
    assert admin("DELETE", "/api/v1/calendars/Madrid").status_code == 204


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "moon"}, "kind"),
    ({"settings": {}}, "settings.expression"),
    ({"settings": {"expression": "61 * * * *"}}, "settings.expression"),
    ({"settings": {"expression": "* * * * * *"}}, "settings.expression"),
    ({"settings": {"expression": "0 0 30 2 *"}}, "settings.expression"),
    ({"settings": {"expression": "0 9 * * *", "zone": "UTC"}}, "settings.zone"),
    ({"kind": "interval", "settings": {"seconds": 0}}, "settings.seconds"),
    ({"kind": "once", "settings": {"at": "2030-01-01T00:00:00"}}, "settings.at"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "Europe"}, "time_zone"),
    ({"calendar": "none"}, "calendar"),
    ({"process": "none"}, "process"),
    ({"version": 9}, "version"),
    ({"robot": "none"}, "robot"),
]


@sqlite
@pytest.mark.parametrize(("wrong", "field"), WRONG)
def test_what_cannot_be_is_refused_by_its_field(
    admin: Caller, process: str, wrong: dict[str, Any], field: str
) -> None:
    refused = admin.post("/api/v1/triggers", NIGHTLY | wrong)
    assert refused.status_code == 400
    assert [one["field"] for one in refused.json["errors"]] == [field]
    assert admin.get("/api/v1/triggers").json["items"] == []


@sqlite
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"country": "XX"}, "country"),
        ({"country": "ES", "subdivision": "ZZ"}, "subdivision"),
        ({"subdivision": "MD"}, "subdivision"),
        ({"weekdays": [1, 1]}, "weekdays"),
        ({"working_days": ["2026-02-30"]}, "working_days.0"),
    ],
)
def test_what_no_calendar_can_be_is_refused_by_its_field(
    admin: Caller, wrong: dict[str, Any], field: str
) -> None:
    refused = admin.post("/api/v1/calendars", {"name": "c"} | wrong)
    assert refused.status_code == 400
    assert [one["field"] for one in refused.json["errors"]] == [field]
