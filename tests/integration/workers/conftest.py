"""Settings of a node, and the context in which an activity runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workers.activities.activity import Context
from workers.settings import Settings

TASK = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        given = {
            "server": "http://127.0.0.1:9",
            "token": "node-token-of-the-tests",
            "name": "worker-1",
            "working_path": tmp_path / "node",
            "environment": {"PATH": "/usr/bin:/bin"},
        }
        return Settings(**{**given, **changes})

    return make


@pytest.fixture
def context(settings: Callable[..., Settings]) -> Callable[..., Context]:
    return lambda **changes: Context(settings(**changes), TASK)
