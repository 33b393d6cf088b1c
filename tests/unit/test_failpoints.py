"""Failpoints: what can be said, where they are, and that nothing is on by accident."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import failpoints
from orchestrator.config import Config
from orchestrator.errors import ConfigurationError

PROJECT = Path(__file__).parents[2]
GOOD = {"DATABASE_URL": "sqlite:///x", "REDIS_URL": "redis://x", "BOTSWAIN_SECRET_KEY": "k" * 32}
SETTING = "before_commit_claim=kill:0.01, after_hint=pause:2,after_commit_dispatch=stop"


def test_a_setting_is_read() -> None:
    found, problems = failpoints.read(SETTING)
    assert problems == []
    assert found["before_commit_claim"] == failpoints.Failpoint("kill", 0.01)
    assert found["after_hint"] == failpoints.Failpoint("pause", 2)
    assert found["after_commit_dispatch"] == failpoints.Failpoint("stop", 1)


@pytest.mark.parametrize(
    "text",
    [
        "after_lunch=kill",
        "after_hint",
        "after_hint=",
        "after_hint=die",
        "after_hint=kill:often",
        "after_hint=pause",
    ],
)
def test_a_mistake_is_refused_at_start(text: str) -> None:
    with pytest.raises(ConfigurationError, match="BOTSWAIN_FAILPOINTS"):
        Config.load({**GOOD, "BOTSWAIN_FAILPOINTS": text, "BOTSWAIN_TESTING": "1"})


def test_failpoints_alone_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="BOTSWAIN_TESTING=1"):
        Config.load({**GOOD, "BOTSWAIN_FAILPOINTS": SETTING})
    assert (
        Config.load({**GOOD, "BOTSWAIN_FAILPOINTS": SETTING, "BOTSWAIN_TESTING": "1"}).failpoints == SETTING
    )


def test_each_point_has_its_place_in_the_code() -> None:
    """Elsewhere than where it is named as a possibility."""
    texts = [
        path.read_text()
        for room in ("orchestrator", "scheduler")
        for path in (PROJECT / room).rglob("*.py")
        if path.name != "failpoints.py"
    ]
    placed = {step for text in texts for step in re.findall(r'\bstep ?= ?"(\w+)"', text)}
    placed |= {point for text in texts for point in re.findall(r'failpoints\.reached\("(\w+)"\)', text)}
    named = {point for point in failpoints.POINTS if "commit" not in point}
    assert placed == named | set(failpoints.STEPS)


@pytest.mark.parametrize(("action", "status"), [("kill", -9), ("pause:0", 0)])
def test_a_process_ends_where_it_was_told_to(action: str, status: int) -> None:
    program = (
        "from orchestrator import failpoints\n"
        f"failpoints.arm('after_commit_claim={action}')\n"
        "failpoints.reached('before_commit', 'claim'); failpoints.reached('after_hint')\n"
        "print('here', flush=True); failpoints.reached('after_commit', 'claim')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, check=False
    )
    assert (ran.returncode, ran.stdout) == (status, "here\n")
    assert ('"point": "after_commit_claim"' in ran.stderr) == (status != 0)


def test_nothing_set_costs_a_look_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    failpoints.arm("")
    monkeypatch.setattr(failpoints, "_act", lambda point: pytest.fail(f"it acts at {point}"))
    failpoints.reached("before_commit", "claim")
    failpoints.reached("after_hint")
