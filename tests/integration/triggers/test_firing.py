"""A due time makes its jobs once; missed ones and overlapping ones go as the policies say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.scene import Scene
from tests.integration.triggers.conftest import Triggers

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def test_a_due_time_makes_the_job_that_the_trigger_asks_for(scene: Scene, triggers: Triggers) -> None:
    scene.robot("r1", group="office")
    triggers.create(group="office", arguments={"day": 1}, priority=7, max_attempts=3, on_lost="requeue")
    assert not triggers.tick()
    due = triggers.fell_due(timedelta(seconds=5))
    assert triggers.tick() == {"fired": 1}
    (firing,) = triggers.firings()
    assert (firing.due_at, firing.state, firing.reason) == (due, "fired", None)
    job = scene.job(*firing.jobs)
    assert (job.arguments, job.priority, job.max_attempts, job.on_lost) == ({"day": 1}, 7, 3, "requeue")
    assert job.target.startswith("group:")
    assert job.created_by == "trigger:nightly"
    after = triggers.now()
    assert after.next_due == due + HOUR
    assert after.last_fired_at == firing.fired_at
    assert not triggers.tick()


@pytest.mark.parametrize(
    ("policy", "fired", "stand_for", "missed"),
    [("skip", 0, [], 5), ("once", 1, [5], 0), ("all", 3, [1, 1, 1], 2)],
)
def test_missed_due_times_go_by_policy(
    triggers: Triggers, policy: str, fired: int, stand_for: list[int], missed: int
) -> None:
    triggers.create(on_missed=policy, missed_limit=3)
    due = triggers.fell_due(4 * HOUR + 30 * MINUTE)
    counts = triggers.tick()
    assert (counts["fired"], counts["missed"]) == (fired, missed)
    firings = triggers.firings()
    assert [one.due_count for one in firings if one.state == "fired"] == stand_for
    assert [(one.reason, one.due_count) for one in firings if one.state == "skipped"] == (
        [("missed", missed)] if missed else []
    )
    assert sum(one.due_count for one in firings) == 5
    assert triggers.now().next_due == due + 5 * HOUR
