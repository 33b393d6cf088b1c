"""A calendar goes only when no trigger has it, also where both are asked for at the same moment."""

from __future__ import annotations

from functools import partial

import pytest

from orchestrator.calendars import lifecycle as calendars
from orchestrator.calendars.lifecycle import NewCalendar
from orchestrator.errors import Conflict, Invalid
from orchestrator.transaction import Transaction
from orchestrator.triggers import lifecycle
from orchestrator.triggers.lifecycle import NewTrigger
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.triggers.conftest import Triggers

pytestmark = on("mariadb", "postgres")


@pytest.fixture(autouse=True)
def office(scene: Scene) -> None:
    scene.run(lambda tx: calendars.create(tx, NewCalendar("office")))


def create(tx: Transaction) -> str:
    settings = {"seconds": 3600}
    return lifecycle.create(tx, NewTrigger("nightly", "interval", "invoices", settings, calendar="office"))


def attach(tx: Transaction) -> str:
    return lifecycle.change(tx, "nightly", calendar="office")


def remove(tx: Transaction) -> None:
    calendars.remove(tx, "office", partial(lifecycle.user_of_calendar, tx))


@pytest.mark.parametrize("give", [create, attach])
def test_one_that_a_trigger_is_being_given_stays(scene: Scene, triggers: Triggers, give: object) -> None:
    if give is attach:
        triggers.create()
    _, removed, order = scene.one_after_the_other(give, remove)  # type: ignore[arg-type]
    assert order == "waited"
    assert isinstance(removed, Conflict)
    assert triggers.now().next_due is not None


def test_one_that_is_being_removed_is_not_given_to_a_trigger(scene: Scene, triggers: Triggers) -> None:
    _, created, order = scene.one_after_the_other(remove, create)
    assert order == "waited"
    assert isinstance(created, Invalid)
