"""Triggers on a scene: made, moved in time, and fired by hand-ticked masters."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.triggers import lifecycle, schedule
from orchestrator.triggers.lifecycle import NewTrigger
from orchestrator.triggers.model import Firing, Trigger
from tests.integration.scene import PERSON, Scene


class Triggers:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def create(self, name: str = "nightly", kind: str = "interval", **more: Any) -> Any:
        given = {"process": self.scene.process} | more
        if kind == "interval":
            given.setdefault("settings", {"seconds": 3600})
        new = NewTrigger(name, kind, **given)
        self.scene.run(lambda tx: lifecycle.create(tx, new), actor=PERSON)
        return self.now(name)

    def now(self, name: str = "nightly") -> Any:
        return self.scene.run(lambda tx: lifecycle.existing(tx, name))

    def change(self, name: str = "nightly", **changes: Any) -> Any:
        self.scene.run(lambda tx: lifecycle.change(tx, name, **changes), actor=PERSON)
        return self.now(name)

    def set_due(self, at: datetime, name: str = "nightly") -> None:
        """Past the verbs: as if its time had come meanwhile."""
        mine = update(Trigger).where(Trigger.name == name)
        self.scene.run(lambda tx: tx.execute(mine.values(next_due=at)))

    def fell_due(self, ago: timedelta, name: str = "nightly", seconds: int = 3600) -> datetime:
        """Let an interval trigger have fallen due `ago`, for the first time; returns when."""
        at = self.scene.past(ago.total_seconds()).replace(microsecond=0)
        settings = {"seconds": seconds, "starts_at": at.isoformat()}
        self.change(name, settings=settings)
        self.set_due(at, name)
        return at  # type: ignore[no-any-return]

    def tick(self) -> Counter[str]:
        """What the master's duty does, once."""
        counts: Counter[str] = Counter()
        for find, fire in ((schedule.due, schedule.fire_due), (schedule.waiting, schedule.fire_waiting)):
            for trigger_id in self.scene.run(find):
                counts += self.scene.run(lambda tx, fire=fire, it=trigger_id: fire(tx, it))
        return counts

    def firings(self, name: str = "nightly") -> list[Any]:
        query = select(*Firing.__table__.columns).join(Trigger, Trigger.id == Firing.trigger_id)
        found = query.where(Trigger.name == name).order_by(Firing.id)
        return self.scene.run(lambda tx: list(tx.execute(found).all()))


@pytest.fixture
def triggers(scene: Scene) -> Triggers:
    return Triggers(scene)
