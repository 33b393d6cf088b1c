"""Logs: one JSON object a line on standard error, times in UTC, without secrets."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import redis
import structlog
from structlog.stdlib import ProcessorFormatter

_FORM: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
_JSON = structlog.processors.JSONRenderer(ensure_ascii=False)


def configure() -> None:
    """Set structlog up for this process. Call once, at its start. LOG_LEVEL names the lowest level kept."""
    level = getattr(logging, os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *_FORM,
            structlog.processors.format_exc_info,
            _JSON,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def adopt_libraries(loglevel: int = logging.WARNING, **_: Any) -> None:
    """Give what libraries log the same form. It answers Celery's signal `setup_logging`, which keeps Celery
    from doing it in its own way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(loglevel)
    # Warnings are for who writes code. Celery has one of seven lines for each loss of the broker.
    logging.getLogger("py.warnings").setLevel(logging.ERROR)


def formatter() -> logging.Formatter:
    """For the standard library's logging. The `logger` tells a library's lines from Botswain's own."""
    return ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_FORM],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            _tell_lost_connections_in_a_line,
            structlog.processors.format_exc_info,
            _JSON,
        ],
    )


def _tell_lost_connections_in_a_line(_logger: Any, _method: str, event: Any) -> Any:
    """A service that goes away is no mistake in the code, and nobody looks for it in a traceback."""
    error = (event.get("exc_info") or (None, None))[1]
    if isinstance(error, (OSError, redis.ConnectionError, redis.TimeoutError)):
        del event["exc_info"]
        event["error"] = str(error)
    return event
