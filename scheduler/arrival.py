"""How a scheduler comes in: what it may not work with is refused, and a database that is away is waited for.

A refusal is for a person to mend, and ends the process for good. A database comes back by itself, and who
started with it on the same morning must not have to be started again.
"""

from __future__ import annotations

import os
import signal
import time

import structlog
from sqlalchemy import exc

from orchestrator import errors, schema
from orchestrator.wiring import Parts
from scheduler.membership import Membership

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 1.0


def arrive(parts: Parts, membership: Membership) -> None:
    """Get a place in the cluster. Raises what is refused: `ConfigurationError`, `NodeAlive`."""
    waits = False
    while True:
        try:
            _join(parts, membership)
            return
        except (errors.Unavailable, exc.DBAPIError, exc.TimeoutError) as error:
            if not waits:
                reason = str(getattr(error, "orig", None) or error)
                log.warning("database_away", node=membership.me.name, error=reason[:200])
                _end_when_asked()
            waits = True
        time.sleep(PAUSE_SECONDS)


def _join(parts: Parts, membership: Membership) -> None:
    if problem := schema.problem(parts.transactions.engine):
        raise errors.ConfigurationError([problem])
    membership.join()


def _end_when_asked() -> None:
    """Nothing is held, and there is nobody to tell."""

    def end(*_: object) -> None:
        os._exit(os.EX_OK)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
