"""Queues in the robot's hands; `from botswain import queue`. See botswain.py for the rest.

    for item in queue("invoices").take(wait=30):
        with item:
            item.finish(read(item.value))

Within `with item:` a clean end means Processed, `BusinessError` a business error, any other exception an
application error; both are told to the queue, and the loop goes on with the next item. Without the `with`,
asking for the next item means Processed, and an exception ends the script: the item then goes back by the
queue's policy, as it does when the robot dies.

A script that is broken would fail every item of the queue: after ten application errors in a row the loop
raises `TooManyFailures`, which ends the script.
"""

from __future__ import annotations

import datetime
import sys
import time
import traceback
from types import TracebackType
from typing import Any, Iterable, Iterator, Mapping, Optional, Union
from urllib.parse import quote

from botswain import should_stop  # type: ignore[import-not-found,unused-ignore]
from botswain_broker import (  # type: ignore[import-not-found,unused-ignore]
    SLICE,
    Abandoned,
    Refused,
    ask,
)

__all__ = ["BusinessError", "Item", "Queue", "Refused", "TooManyFailures", "queue"]

MOST_IN_ONE_REQUEST = 1000
MOST_ERROR = 10_000  # characters
MOST_FAILURES = 10  # application errors in a row, until the loop takes it that the script is broken
_PAUSE = 0.5  # seconds
Moment = Union[datetime.datetime, float]


class BusinessError(Exception):
    """The item itself is wrong (an unknown supplier, a missing page): another try would not help."""


class TooManyFailures(Exception):  # noqa: N818 - what has happened
    """One item after the other failed by an application error: not the items are wrong, but the script, or
    what it works with. It ends the loop and, unless it is caught, the script."""


class Item:
    """A resource that this run has taken. What it says to the queue names the fence of its lock, so that it
    is refused (`Refused`, code `stale_fence`) once the item has passed to another run."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.id: str = found["id"]
        self.attempt: int = found["attempt"]
        self.fence: Optional[int] = found.get("fence")
        self.settled = False  # finished, failed or postponed
        self.failure: Optional[str] = None  # the application error that it ended with
        self._show(found)

    def _show(self, found: Mapping[str, Any]) -> None:
        self.value: Any = found["value"]
        self.parameters: dict[str, Any] = found["parameters"]
        self.tags: list[str] = found["tags"]
        self.priority: int = found["priority"]
        self.reference: Optional[str] = found["reference"]

    def __repr__(self) -> str:
        return f"<Item {self.reference or self.id}, attempt {self.attempt}>"

    def set(self, **changes: Any) -> None:
        """Change `value`, `parameters`, `tags`, `priority`, `reference` or `deadline`; the rest stays."""
        fence = "" if self.fence is None else f"?fence={self.fence}"
        self._show(ask("PATCH", f"{self._path}{fence}", _sendable(changes)))

    def finish(self, result: Any = None) -> None:
        """Processed, with a result (any JSON)."""
        self._settle("finish", {"status": "Processed", "result": result})

    def fail(self, text: str, business: bool = False) -> None:
        """Error: of business, if the item itself is wrong; else the queue's policy may try it again."""
        kind = "business" if business else "application"
        self._settle("finish", {"status": "Error", "error": text[:MOST_ERROR], "error_kind": kind})
        self.failure = None if business else text

    def postpone(self, until: Moment) -> None:
        """Give it back, to be taken by anybody from then on: a time with its zone, or seconds from now."""
        wish = {"until": _text(until)} if isinstance(until, datetime.datetime) else {"for_seconds": until}
        self._settle("postpone", wish)

    def __enter__(self) -> Item:
        return self

    def __exit__(
        self,
        kind: "Optional[type[BaseException]]",
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> bool:
        if error is None:
            if not self.settled:
                self.finish()
            return False
        # Stopped and the like end the script: what is not finished goes back by the queue's policy.
        if self.settled or not isinstance(error, Exception) or _is_lost(error):
            return False
        if not isinstance(error, BusinessError):
            traceback.print_exception(kind, error, trace, file=sys.stderr)
        self.fail(_said(error), business=isinstance(error, BusinessError))
        return True

    @property
    def _path(self) -> str:
        return f"/api/v1/resources/{self.id}"

    def _settle(self, verb: str, body: "dict[str, Any]") -> None:
        ask("POST", f"{self._path}/{verb}", {**body, "fence": self.fence})
        self.settled = True


class Queue:
    """A queue by its name or id."""

    def __init__(self, name: str) -> None:
        self.name = name

    def take(
        self,
        where: Optional[Mapping[str, Any]] = None,
        lock: str = "read",
        wait: float = 0,
        until: Optional[Moment] = None,
        max_failures: Optional[int] = MOST_FAILURES,
    ) -> Iterator[Item]:
        """One item after the other, until there is none within `wait` seconds or a soft stop is asked for.

        An item of whose body the end is reached is Processed, unless it has been settled otherwise. Before
        a `break`, say `item.finish()`: the loop cannot tell a `break` from an exception.
        `until` keeps the lock until then, a time with its zone or seconds, also beyond the run's end.
        `max_failures` application errors in a row raise `TooManyFailures` instead of giving the next item;
        None: however many.
        """
        if lock not in ("read", "both", "write"):
            raise ValueError(f"lock is read, write or both, not {lock!r}")
        if max_failures is not None and max_failures < 1:
            raise ValueError(f"max_failures is 1 or more, or None for no limit, not {max_failures!r}")
        order: dict[str, Any] = {"where": _sendable(where or {}), "lock": lock}
        if until is not None:
            timed = isinstance(until, datetime.datetime)
            order["until" if timed else "for_seconds"] = _sendable(until)
        return self._items(order, wait, max_failures)

    def _items(self, order: "dict[str, Any]", wait: float, max_failures: Optional[int]) -> Iterator[Item]:
        failures = 0
        while True:
            item = self._next(order, wait)
            if item is None:
                return
            yield item
            if not item.settled:
                item.finish()
            failures = failures + 1 if item.failure is not None else 0
            if failures == max_failures:
                raise TooManyFailures(
                    f"{failures} in a row failed, the last, {item!r}, with: {item.failure}. "
                    "max_failures= of take() says how many may."
                )

    def _next(self, order: "dict[str, Any]", wait: float) -> Optional[Item]:
        end = time.monotonic() + wait
        while not should_stop():
            left = end - time.monotonic()
            body = {**order, "wait_seconds": max(0.0, min(left, SLICE))}
            try:
                found = ask("POST", f"{self._path}/take", body, stop=should_stop)
            except Abandoned:
                return None
            if found is not None:
                return Item(found)
            if end <= time.monotonic():
                return None
            # A server that has no room for another who waits answers at once.
            time.sleep(min(_PAUSE, max(0.0, end - time.monotonic())))
        return None

    def add(self, value: Any, **fields: Any) -> str:
        """Put one in; its id. Fields: reference, tags, priority, parameters, postpone_until, deadline."""
        found = ask("POST", f"{self._path}/resources", _sendable({"value": value, **fields}))
        return str(found["id"])

    def add_many(self, items: "Iterable[Mapping[str, Any]]") -> "list[str]":
        """Put many in, each an object with `value` and the fields of `add`; their ids in the same order.

        All of them or none, up to 1,000; beyond that, each thousand for itself.
        """
        orders, ids = [_sendable(item) for item in items], []
        for start in range(0, len(orders), MOST_IN_ONE_REQUEST):
            part = orders[start : start + MOST_IN_ONE_REQUEST]
            made = ask("POST", f"{self._path}/resources", many=part)
            ids += [str(one["id"]) for one in made["items"]]
        return ids

    @property
    def _path(self) -> str:
        return f"/api/v1/queues/{quote(self.name, safe='')}"


def queue(name: str) -> Queue:
    """The queue with this name or id."""
    return Queue(name)


def _is_lost(error: Exception) -> bool:
    """Whether the run or its lock is gone: then there is nobody to tell of it, and no next item."""
    return isinstance(error, Refused) and error.code in ("stale_fence", "no_run")


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, BusinessError) else f"{type(error).__name__}: {error}"


def _sendable(value: Any) -> Any:
    """Times as text, however deep."""
    if isinstance(value, datetime.datetime):
        return _text(value)
    if isinstance(value, Mapping):
        return {name: _sendable(one) for name, one in value.items()}
    return [_sendable(one) for one in value] if isinstance(value, (list, tuple)) else value


def _text(moment: datetime.datetime) -> str:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: use datetime.now(timezone.utc) and the like")
    return moment.isoformat()
