"""What libraries log is told as Botswain tells: JSON, a line a thing, and no traceback for a service away."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
import redis

from orchestrator import logs


def told(error: Exception | None, sentence: str = "Couldn't ack %r") -> dict[str, Any]:
    information = (type(error), error, None) if error is not None else None
    record = logging.LogRecord("kombu", logging.CRITICAL, "message.py", 1, sentence, ("5",), information)
    line = logs.formatter().format(record)
    assert "\n" not in line
    return dict(json.loads(line))


def test_a_librarys_sentence_is_one_object() -> None:
    line = told(None, "Cannot connect to %s.\nTrying again in 2 seconds.")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "Cannot connect to 5.\nTrying again in 2 seconds.",
        "level": "critical",
        "logger": "kombu",
    }


@pytest.mark.parametrize(
    "error", [redis.ConnectionError("closed"), redis.TimeoutError("closed"), ConnectionResetError("closed")]
)
def test_a_lost_connection_has_no_traceback(error: Exception) -> None:
    line = told(error)
    assert line["error"] == "closed"
    assert "exception" not in line


def test_a_mistake_keeps_its_traceback() -> None:
    line = told(ValueError("of ours"))
    assert "ValueError: of ours" in line["exception"]
    assert "error" not in line


def test_celery_is_kept_from_its_own_form(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    logs.adopt_libraries(loglevel=logging.ERROR, sender=None, logfile=None, format="", colorize=False)
    assert root.level == logging.ERROR
    assert [handler.stream for handler in root.handlers] == [sys.stderr]  # type: ignore[attr-defined]
