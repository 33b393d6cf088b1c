"""Repeat the orders to stop and abort that robots may not have been told of."""

from __future__ import annotations

from contextlib import suppress

from redis import RedisError

from orchestrator.jobs import recovery
from scheduler.term import Term


def run(term: Term) -> dict[str, int]:
    orders = term.run(recovery.open_orders)
    with suppress(RedisError):
        term.parts.presence.give_orders(orders)
    return {}
