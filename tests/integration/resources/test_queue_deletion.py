"""A queue is deleted in the moment in which somebody puts something into it: nothing is left without one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from orchestrator import audit
from orchestrator.errors import BotswainError, Conflict, NotFound
from orchestrator.resources import create, queues, schemas
from orchestrator.resources.create import NewResource
from orchestrator.resources.model import Queue, Resource
from orchestrator.resources.queues import NewQueue
from tests.integration.scene import Scene, race

A_MOMENT = 0.5  # seconds in which the other would be through, if nothing held it


class Meeting:
    """Two transactions: the first stops in its middle until the other is through, or waits for it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._in_the_middle = threading.Event()
        self._other_is_through = threading.Event()

    def stopping(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def stopped(*given: Any, **named: Any) -> Any:
            self._in_the_middle.set()
            self._other_is_through.wait(A_MOMENT)
            return step(*given, **named)

        return stopped

    def of(self, first: Callable[[Any], Any], other: Callable[[Any], Any]) -> list[Any]:
        """What both came to: None, or the error."""

        def then() -> Any:
            assert self._in_the_middle.wait(10)
            try:
                return self._run(other)
            finally:
                self._other_is_through.set()

        return list(race(lambda: self._run(first), then))

    def _run(self, work: Callable[[Any], Any]) -> Any:
        try:
            self._scene.run(work)
        except BotswainError as refusal:
            return type(refusal)
        return None


def put_in(tx: Any) -> None:
    create.create(tx, "q", [NewResource(value=1)])


def delete(tx: Any) -> None:
    queues.remove(tx, "q")


def orphans(scene: Scene) -> list[Any]:
    lost = select(Resource.id).where(Resource.queue_id.not_in(select(Queue.id)))
    return scene.run(lambda tx: list(tx.execute(lost)))


@pytest.fixture
def meeting(scene: Scene) -> Meeting:
    scene.run(lambda tx: queues.create(tx, NewQueue("q")))
    return Meeting(scene)


def test_who_deletes_waits_for_who_creates(
    meeting: Meeting, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "check_values", meeting.stopping(schemas.check_values))
    assert meeting.of(put_in, delete) == [None, Conflict]
    assert orphans(scene) == []


def test_who_creates_waits_for_who_deletes(
    meeting: Meeting, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "record", meeting.stopping(audit.record))
    assert meeting.of(delete, put_in) == [None, NotFound]
    assert orphans(scene) == []


def test_many_put_in_at_once(scene: Scene) -> None:
    """Whoever creates keeps the queue from being deleted, and nobody from creating."""
    scene.run(lambda tx: queues.create(tx, NewQueue("q")))
    race(*[lambda: scene.run(put_in) for _ in range(4)])
    with pytest.raises(Conflict):
        scene.run(delete)
    assert orphans(scene) == []
