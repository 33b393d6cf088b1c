"""Answers that give something away: where the client has hung up meanwhile, it is taken back.

WSGI tells an application nothing of its client, and granian no more than that. But it asks a body for its
next piece only when it could hand the last one to the connection, and closes the body where that was gone:
measured with granian 2.8. What the network loses after that nobody learns; the end of the run bounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import structlog
from flask import Response

from orchestrator.errors import BotswainError

log = structlog.get_logger(__name__)


class Delivery:
    """A body in one piece. Calls `undelivered` once, where it is closed before a second was asked for."""

    def __init__(self, body: bytes, undelivered: Callable[[], None]) -> None:
        self._body = body
        self._undelivered = undelivered
        self._is_given = self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._is_given:
            self._is_over = True
            raise StopIteration
        self._is_given = True
        return self._body

    def close(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        try:
            self._undelivered()
        except BotswainError as error:  # it stays given until its holder's run ends, or its date
            log.warning("grant_not_taken_back", error=error.detail)


def watched(response: Response, undelivered: Callable[[], Any]) -> Response:
    """The same answer; `undelivered` is called where it reaches nobody."""
    delivery = Delivery(response.get_data(), undelivered)
    response.response = delivery
    return response
