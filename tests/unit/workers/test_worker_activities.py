"""Activities: their arguments, their registry, and the two small ones."""

import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Annotated, Any

import pytest
from pydantic import Field

from tests.deadlines import within
from workers.activities.activity import ActivityError, Arguments, Context, Interrupted, read
from workers.activities.echo import echo
from workers.activities.registry import GROUP, Registry
from workers.activities.sleep import sleep

Make = Callable[..., Context]


class Greeting(Arguments):
    name: Annotated[str, Field(max_length=5)]
    times: int = 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (None, "arguments: "),
        (["Ana"], "arguments: "),
        ({}, "name: it is missing"),
        ({"name": 5}, "name: "),
        ({"name": "Ana", "times": "2"}, "times: "),
        ({"name": "Ana", "colour": "red"}, "colour: there is no such field"),
        ({"name": "much too long"}, "name: "),
    ],
)
def test_wrong_arguments_name_the_field(arguments: Any, sentence: str) -> None:
    with pytest.raises(ActivityError) as refused:
        read(Greeting, arguments)
    assert str(refused.value).startswith(sentence)
    assert "much too long" not in str(refused.value)  # arguments may hold secrets


def test_echo_returns_what_it_was_given(context: Make) -> None:
    values: tuple[Any, ...] = ({"a": [1, None, "ñ"]}, [], "x", None)
    for value in values:
        assert echo(value, context()) == value


@pytest.mark.parametrize("seconds", [-1, 3601, "1", None, True, float("nan"), float("inf")])
def test_sleep_is_bounded(context: Make, seconds: Any) -> None:
    with pytest.raises(ActivityError, match="seconds: "):
        sleep({"seconds": seconds}, context())


def test_sleep_can_be_interrupted(context: Make) -> None:
    own = context()
    threading.Timer(0.05, own.interrupt, ["the node ends"]).start()
    with within(5), pytest.raises(Interrupted, match="the node ends"):
        sleep({"seconds": 60}, own)
    assert sleep({"seconds": 0}, context()) == {"seconds": 0}


def test_an_interruption_is_told_once_and_also_to_who_comes_late(context: Make) -> None:
    own, told = context(), []
    with own.on_interrupt(lambda: told.append(1)):
        own.interrupt("first")
        own.interrupt("second")
    assert (own.why, told) == ("first", [1])
    with own.on_interrupt(lambda: told.append(2)):
        pass
    assert told == [1, 2]


def test_the_shipped_activities_are_installed() -> None:
    registry = Registry()
    assert {"botswain.webhook", "botswain.command", "botswain.sleep", "botswain.echo"} <= set(registry.names)
    for name in registry.names:
        assert callable(registry.find(name))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("acme.unknown", "", "no activity 'acme.unknown'; it has: acme.broken, acme.number"),
        ("acme.broken", "", "acme.broken .* cannot be loaded: ModuleNotFoundError"),
        ("acme.number", "", "is no function"),
    ],
)
def test_what_cannot_be_had_is_a_clear_sentence(name: str, value: str, sentence: str) -> None:
    registry = Registry(
        [
            EntryPoint("acme.broken", "acme_is_not_installed:f", GROUP),
            EntryPoint("acme.number", "workers.activities.sleep:LONGEST", GROUP),
        ]
    )
    with pytest.raises(ActivityError, match=sentence):
        registry.find(name)
