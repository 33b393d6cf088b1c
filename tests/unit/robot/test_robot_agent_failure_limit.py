"""How many items in a row may fail by the script itself, until the loop over a queue gives up."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

import workers.robot

SCRIPT_MODULE = Path(workers.robot.__file__).parent / "script"


@pytest.fixture
def botswain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script's module on a queue of a hundred items that takes everything that is said."""
    monkeypatch.syspath_prepend(str(SCRIPT_MODULE))
    for name in ("botswain", "botswain_queue", "botswain_broker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    botswain = importlib.import_module("botswain")
    botswain_queue = importlib.import_module("botswain_queue")
    empty: dict[str, Any] = {
        "value": None,
        "parameters": {},
        "tags": [],
        "priority": 0,
        "reference": None,
        "attempt": 1,
    }
    numbers = iter(range(100))

    def ask(method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any] | None:
        number = next(numbers, None) if path.endswith("/take") else None
        return None if number is None else {**empty, "id": f"r{number}", "fence": 1, "value": number}

    monkeypatch.setattr(botswain_queue, "ask", ask)
    yield botswain
    for name in ("botswain", "botswain_queue", "botswain_broker"):
        sys.modules.pop(name, None)


def worked(botswain: Any, outcome: Callable[[Any], object], **options: Any) -> int:
    """How many items were taken until the loop ended or gave up."""
    taken = 0
    try:
        for item in botswain.queue("q").take(**options):
            taken += 1
            with item:
                outcome(item)
    except botswain.TooManyFailures:
        pass
    return taken


def fail(item: Any) -> NoReturn:
    raise KeyError("vat")


@pytest.mark.parametrize(
    ("options", "taken"), [({}, 10), ({"max_failures": 3}, 3), ({"max_failures": None}, 100)]
)
def test_the_limit(botswain: Any, options: dict[str, Any], taken: int) -> None:
    assert worked(botswain, fail, **options) == taken


@pytest.mark.parametrize(
    "other",
    [
        lambda item: None,
        lambda item: item.finish(),
        lambda item: item.postpone(60),
        lambda item: item.fail("no supplier", business=True),
    ],
)
def test_another_end_begins_the_count_anew(botswain: Any, other: Callable[[Any], object]) -> None:
    assert worked(botswain, lambda item: fail(item) if item.value % 10 else other(item)) == 100


def test_business_errors_never_count(botswain: Any) -> None:
    def refuse(item: Any) -> NoReturn:
        raise botswain.BusinessError("no supplier")

    assert worked(botswain, refuse, max_failures=1) == 100


def test_a_script_that_says_itself_that_it_failed_counts(botswain: Any) -> None:
    assert worked(botswain, lambda item: item.fail("timeout"), max_failures=4) == 4


def test_it_names_the_last_error(botswain: Any) -> None:
    items = botswain.queue("q").take(max_failures=1)
    with next(items) as item:
        fail(item)
    with pytest.raises(botswain.TooManyFailures, match=r"1 in a row failed.*r0.*KeyError: 'vat'"):
        next(items)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_is_at_least_one(botswain: Any, limit: int) -> None:
    with pytest.raises(ValueError, match="max_failures is 1 or more"):
        botswain.queue("q").take(max_failures=limit)
