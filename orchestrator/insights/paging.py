"""Lists in pages, newest first: an opaque cursor says where the next page begins.

What has moved to history is in the lists as before: both tables number their rows in one series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from orchestrator.transaction import Transaction

Item = TypeVar("Item")
CURSOR_PATTERN = r"^[0-9a-f]{1,15}$"


@dataclass(frozen=True)
class Page(Generic[Item]):
    """`next` is the cursor of the next page, null on the last."""

    items: list[Item]
    next: str | None


def page(
    tx: Transaction,
    query: Any,
    by: Any,
    limit: int,
    cursor: str | None,
    render: Callable[[Sequence[Any]], Sequence[Item]],
    past: tuple[Any, Any] | None = None,
) -> Page[Item]:
    """Up to `limit` rows of `query`, by the column `by` (selected as `id`) downwards.

    `past`: query and column of the same in history, where it can hold what is asked for.
    """
    at = int(cursor, 16) if cursor is not None else None
    shown = newest(tx, [(query, by), past] if past is not None else [(query, by)], limit + 1, at)
    more, shown = len(shown) > limit, shown[:limit]
    following = format(shown[-1].id, "x") if more else None
    return Page(list(render(shown)), following)


def newest(tx: Transaction, sources: Sequence[tuple[Any, Any]], limit: int, before: int | None) -> list[Any]:
    """The newest `limit` rows of several queries with their columns of ids, of those below `before`."""
    chosen = [
        (query if before is None else query.where(by < before)).order_by(by.desc()) for query, by in sources
    ]
    return _merged(tx, chosen, limit, backwards=True)


def oldest(tx: Transaction, sources: Sequence[tuple[Any, Any]], limit: int, after: int) -> list[Any]:
    """The oldest `limit` rows of several queries with their columns of ids, of those above `after`."""
    chosen = [query.where(by > after).order_by(by) for query, by in sources]
    return _merged(tx, chosen, limit, backwards=False)


def _merged(tx: Transaction, queries: Sequence[Any], limit: int, *, backwards: bool) -> list[Any]:
    """The live table comes first: a row that moves between the two looks is seen twice, and never missed."""
    found: dict[int, Any] = {}
    for query in queries:
        for row in tx.execute(query.limit(limit)).all():
            found.setdefault(row.id, row)
    return [found[key] for key in sorted(found, reverse=backwards)[:limit]]
