"""Triggers by call: who has the secret, what a call starts, and that it starts it once for each key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.errors import Conflict, IdempotencyMismatch
from orchestrator.triggers import calls
from orchestrator.triggers import lifecycle as verbs
from orchestrator.triggers.calls import Called
from orchestrator.triggers.model import Trigger
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.triggers.conftest import Triggers

FIRST, SECOND = "d" * 64, "e" * 64
HOUR = timedelta(hours=1)


@pytest.fixture
def trigger(triggers: Triggers) -> Any:
    return triggers.create(kind="call", arguments={"mode": "full", "n": 1}, call_digest=FIRST)


def call(scene: Scene, trigger: Any, key: str | None = None, **arguments: Any) -> Called:
    return scene.run(lambda tx: calls.call(tx, trigger.id, arguments, key))


def known(scene: Scene, digest: str) -> bool:
    return scene.run(lambda tx: calls.authenticate(tx, digest)) is not None


def test_a_call_starts_a_job_with_its_arguments(scene: Scene, trigger: Any) -> None:
    called = call(scene, trigger, n=2, invoice="A-1")
    job = scene.job(called.jobs[0])
    assert (called.state, called.reason) == ("fired", None)
    assert job.arguments == {"mode": "full", "n": 2, "invoice": "A-1"}
    assert job.created_by == "trigger:nightly"
    assert call(scene, trigger).jobs != called.jobs


def test_a_key_fires_once(scene: Scene, trigger: Any, triggers: Triggers) -> None:
    first = call(scene, trigger, "order-1", n=2)
    assert call(scene, trigger, "order-1", n=2) == first
    with pytest.raises(IdempotencyMismatch):
        call(scene, trigger, "order-1", n=3)
    assert call(scene, trigger, "order-2", n=2) != first
    assert len(triggers.firings()) == 2


@on("mariadb", "postgres")
def test_a_key_that_comes_twice_at_the_same_moment_fires_once(
    scene: Scene, trigger: Any, triggers: Triggers
) -> None:
    def called(tx: Any) -> Called:
        return calls.call(tx, trigger.id, {}, "order-1")

    first, second, order = scene.one_after_the_other(called, called)
    assert (first, order) == (second, "waited")
    assert len(triggers.firings()) == 1


def test_a_refused_call_changes_nothing_and_may_be_sent_again(
    scene: Scene, trigger: Any, triggers: Triggers
) -> None:
    scene.run(lambda tx: tx.execute(update(Trigger).values(version=99)))
    with pytest.raises(Conflict, match="could not create its job"):
        call(scene, trigger, "order-1")
    scene.run(lambda tx: verbs.disable(tx, "nightly"))
    with pytest.raises(Conflict, match="disabled"):
        call(scene, trigger, "order-1")
    assert triggers.firings() == []
    scene.run(lambda tx: tx.execute(update(Trigger).values(version=None)))
    scene.run(lambda tx: verbs.enable(tx, "nightly"))
    assert call(scene, trigger, "order-1").state == "fired"


def test_only_its_own_secret_opens_a_trigger(scene: Scene, trigger: Any, triggers: Triggers) -> None:
    triggers.create("other", call_digest=SECOND)
    assert known(scene, FIRST)
    assert not known(scene, SECOND), "an interval is not called, whatever its row holds"
    assert not known(scene, "f" * 64)


def test_a_new_secret_replaces_the_old_one_at_once_or_in_time(scene: Scene, trigger: Any) -> None:
    def rotate(digest: str, keep: timedelta = timedelta()) -> None:
        scene.run(lambda tx: calls.rotate(tx, "nightly", digest, keep))

    rotate(SECOND)
    assert (known(scene, FIRST), known(scene, SECOND)) == (False, True)
    rotate(FIRST, HOUR)
    assert (known(scene, FIRST), known(scene, SECOND)) == (True, True)
    scene.run(lambda tx: tx.execute(update(Trigger).values(former_call_until=tx.now - timedelta(seconds=1))))
    assert (known(scene, FIRST), known(scene, SECOND)) == (True, False)
    rotate("a" * 64)
    assert (known(scene, FIRST), known(scene, SECOND), known(scene, "a" * 64)) == (False, False, True)


@on("sqlite")
def test_only_a_trigger_by_call_has_a_secret(scene: Scene, triggers: Triggers) -> None:
    triggers.create()
    with pytest.raises(Conflict, match="only one by call has a secret"):
        scene.run(lambda tx: calls.rotate(tx, "nightly", FIRST, HOUR))
