"""A look along a queue in which little fits: it reads all in order, and asks the database seldom."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from orchestrator.resources import create, queues, search
from orchestrator.resources.conditions import Condition
from orchestrator.resources.create import NewResource
from orchestrator.resources.queues import NewQueue
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import Scene


@on("sqlite")
def test_what_fits_is_found_behind_all_that_does_not(scene: Scene) -> None:
    scene.run(lambda tx: queues.create(tx, NewQueue("q")))
    orders = [NewResource(parameters={"n": n}) for n in range(150)]
    scene.run(lambda tx: create.create(tx, "q", orders))
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    def look(tx: Transaction) -> list[int]:
        queue = queues.existing(tx, "q")
        event.listen(scene.transactions.engine, "before_cursor_execute", note)
        found = search.in_line(tx, queue.id, Condition.read({"parameters.n": {"gte": 147}}))
        return [row.parameters["n"] for row in found]

    try:
        assert scene.run(look) == [147, 148, 149]
    finally:
        event.remove(scene.transactions.engine, "before_cursor_execute", note)
    assert len(asked) == 4, "20, 40, 80, and the rest"
