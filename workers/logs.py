"""Logs of a worker node: one JSON object a line on standard error, times in UTC, without secrets."""

from __future__ import annotations

import logging
import os
import sys

import structlog


def configure() -> None:
    """Set structlog up for this process; LOG_LEVEL names the lowest level that is kept."""
    level = getattr(logging, os.environ.get("LOG_LEVEL", "INFO").upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
