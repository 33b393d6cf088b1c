"""What people are told of the maintenance window."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.insights.maintenance_window import WindowView, seen_at

NIGHTS = "daily 22:00-06:00 Europe/Madrid"
OPENS, CLOSES = datetime(2026, 3, 28, 21, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)


def master(**surroundings: Any) -> SimpleNamespace:
    return SimpleNamespace(surroundings=surroundings)


def test_a_closed_one_says_when_it_opens_and_until_when() -> None:
    noon = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert seen_at(noon, None, NIGHTS) == WindowView(NIGHTS, False, OPENS, CLOSES)


def test_an_open_one_says_until_when() -> None:
    assert seen_at(OPENS, None, NIGHTS) == WindowView(NIGHTS, True, None, CLOSES)


@pytest.mark.parametrize(("rule", "is_open"), [("always", True), ("never", False)])
def test_one_that_never_turns_has_no_times(rule: str, is_open: bool) -> None:
    assert seen_at(OPENS, None, rule) == WindowView(rule, is_open, None, None)


@pytest.mark.parametrize(
    ("master", "rule"),
    [
        (master(maintenance_window="always"), "always"),
        (master(free_bytes=1), NIGHTS),  # of the version before
        (master(maintenance_window="each second moon"), NIGHTS),  # of the version after
        (SimpleNamespace(surroundings=None), NIGHTS),  # has not looked around yet
    ],
)
def test_the_masters_own_goes_before_the_setting_here(master: SimpleNamespace, rule: str) -> None:
    assert seen_at(OPENS, master, NIGHTS).rule == rule
