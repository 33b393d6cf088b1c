"""Lists in pages, newest first: an opaque cursor says where the next page begins."""

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
) -> Page[Item]:
    """Up to `limit` rows of `query`, by the column `by` (selected as `id`) downwards."""
    if cursor is not None:
        query = query.where(by < int(cursor, 16))
    rows = tx.execute(query.order_by(by.desc()).limit(limit + 1)).all()
    shown = rows[:limit]
    following = format(shown[-1].id, "x") if len(rows) > limit else None
    return Page(list(render(shown)), following)
