"""A task from claim to end: fences, leases, retries with growing delays, giving up in sight of people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.errors import Conflict, NotFound, StaleFence
from orchestrator.tasks import lifecycle as tasks
from orchestrator.tasks import recovery
from orchestrator.tasks.claim import ClaimedTask, Ownership
from orchestrator.tasks.claimed import lock_claimed, postpone, release, succeed_claimed
from orchestrator.tasks.enqueueing import NewTask, enqueue
from orchestrator.tasks.lifecycle import RETRY_DELAY, RETRY_DELAY_LIMIT
from orchestrator.tasks.model import Lane, TaskKind, TaskStatus
from orchestrator.tasks.spread import partition_of
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import LEASE, Scene

KEY = "one line"
HERE = partition_of(KEY)
S = TaskStatus


def claimed(scene: Scene, owned: Ownership, **more: Any) -> ClaimedTask:
    task = NewTask(TaskKind.ACTIVITY, activity="botswain.echo", ordering_key=KEY, **more)
    scene.run(lambda tx: enqueue(tx, [task]))
    (found,) = scene.claim(owned).tasks
    assert found.guid == task.guid
    return found


@pytest.fixture
def owned(scene: Scene) -> Ownership:
    return scene.own([HERE])[0]


def start(scene: Scene, task: ClaimedTask) -> Any:
    return scene.run(lambda tx: tasks.start(tx, task.guid, task.fence, "n1", LEASE))


def fail(scene: Scene, task: ClaimedTask, error: str) -> None:
    scene.run(lambda tx: tasks.fail(tx, task.guid, task.fence, error))


def running(scene: Scene, owned: Ownership, **more: Any) -> ClaimedTask:
    task = claimed(scene, owned, **more)
    scene.run(lambda tx: tasks.start(tx, task.guid, task.fence, "n1", LEASE))
    return task


def due_again(scene: Scene, owned: Ownership, guid: str) -> ClaimedTask:
    scene.set_task(guid, not_before=scene.past())
    assert scene.run(lambda tx: recovery.promote_due(tx, [HERE])) == 1
    (task,) = scene.claim(owned).tasks
    return task


def test_begun_renewed_and_finished(scene: Scene, owned: Ownership) -> None:
    task = claimed(scene, owned)
    row = scene.run(lambda tx: tasks.start(tx, task.guid, task.fence, "n1", LEASE))
    assert (row.status, row.owner, row.fence) == (S.RUNNING, "n1", 1)
    scene.run(lambda tx: tasks.renew(tx, task.guid, task.fence, "n1", 2 * LEASE))
    assert scene.task(task.guid).lease_until - row.lease_until > timedelta(seconds=40)
    scene.run(lambda tx: tasks.finish(tx, task.guid, task.fence, {"said": "ü"}))
    row = scene.task(task.guid)
    assert (row.status, row.result, row.owner, row.lease_until) == (S.SUCCEEDED, {"said": "ü"}, "", None)
    scene.run(lambda tx: tasks.finish(tx, task.guid, task.fence, "another"))
    assert scene.task(task.guid) == row


VERBS: dict[str, Callable[[Transaction, str, int], Any]] = {
    "start": lambda tx, guid, fence: tasks.start(tx, guid, fence, "n2", LEASE),
    "renew": lambda tx, guid, fence: tasks.renew(tx, guid, fence, "n2", LEASE),
    "finish": lambda tx, guid, fence: tasks.finish(tx, guid, fence, None),
    "fail": lambda tx, guid, fence: tasks.fail(tx, guid, fence, "it broke"),
}
VERBS_OF: dict[str, Callable[[ClaimedTask], Callable[[Transaction], Any]]] = {
    name: lambda task, verb=verb: lambda tx: verb(tx, task.guid, task.fence) for name, verb in VERBS.items()
}
STATES: dict[str, Callable[[Scene, ClaimedTask], Any]] = {
    "queued": lambda scene, task: scene.run(lambda tx: release(tx, [task], Lane.WORKER)),
    "claimed": lambda scene, task: None,
    "running": lambda scene, task: scene.run(VERBS_OF["start"](task)),
    "succeeded": lambda scene, task: [scene.run(VERBS_OF[v](task)) for v in ("start", "finish")],
    "failed": lambda scene, task: [scene.run(VERBS_OF[v](task)) for v in ("start", "fail")],
    "cancelled": lambda scene, task: scene.run(lambda tx: tasks.cancel(tx, task.guid)),
}
# What a verb with the right fence leads to; what is not here is refused and changes nothing.
MOVES = {
    ("claimed", "start"): S.RUNNING,
    ("running", "renew"): S.RUNNING,
    ("running", "finish"): S.SUCCEEDED,
    ("running", "fail"): S.FAILED,
}
SAID_AGAIN = {("succeeded", "finish"), ("failed", "fail")}


@on("sqlite")
@pytest.mark.parametrize("state", STATES)
def test_every_verb_in_every_state_with_every_fence(scene: Scene, owned: Ownership, state: str) -> None:
    task = claimed(scene, owned)
    STATES[state](scene, task)
    _, before = scene.trial(lambda _: None)
    for verb, call in VERBS.items():
        for fence in (task.fence - 1, task.fence, task.fence + 1):
            outcome, after = scene.trial(lambda tx, c=call, f=fence: c(tx, task.guid, f))
            target = MOVES.get((state, verb)) if fence == task.fence else None
            if target is not None:
                assert not isinstance(outcome, Exception)
                (row,) = after["tasks"]
                assert row != before["tasks"][0]
            elif (state, verb) in SAID_AGAIN and fence == task.fence:
                assert outcome is None
                assert after == before
            else:
                assert isinstance(outcome, StaleFence), (verb, fence, outcome)
                assert after == before


@on("sqlite")
def test_tasks_of_others_are_not_found(scene: Scene, owned: Ownership) -> None:
    task = running(scene, owned)
    for call in (
        *VERBS.values(),
        lambda tx, guid, _: tasks.cancel(tx, guid),
        lambda tx, guid, _: tasks.retry(tx, guid),
    ):
        for guid, tenant in ((task.guid, 2), ("nothing", 1)):
            outcome, _ = scene.trial(lambda tx, c=call, g=guid: c(tx, g, task.fence), tenant_id=tenant)
            assert isinstance(outcome, NotFound)


def test_failures_are_retried_with_growing_delays_and_then_given_up_in_sight(
    scene: Scene, owned: Ownership
) -> None:
    task = running(scene, owned, max_attempts=4)
    for attempt in (1, 2, 3):
        fail(scene, task, f"broken {attempt}")
        row = scene.task(task.guid)
        assert (row.status, row.attempt, row.error) == (S.POSTPONED, attempt, f"broken {attempt}")
        delay = (row.not_before - scene.past(0)) / RETRY_DELAY
        assert 2 ** (attempt - 1) - 0.5 < delay <= 2 ** (attempt - 1)
        task = due_again(scene, owned, task.guid)
        assert (task.fence, task.attempt) == (attempt + 1, attempt + 1)
        start(scene, task)
    fail(scene, task, "broken for good")
    row = scene.task(task.guid)
    assert (row.status, row.error, row.owner, row.lease_until) == (S.FAILED, "broken for good", "", None)
    assert row.finished_at is not None
    scene.run(lambda tx: tasks.retry(tx, task.guid))
    assert (scene.task(task.guid).status, scene.task(task.guid).attempt) == (S.QUEUED, 0)
    (again,) = scene.claim(owned).tasks
    assert (again.fence, again.attempt, again.position) == (5, 1, task.position)


@on("sqlite")
def test_the_delay_has_a_limit(scene: Scene, owned: Ownership) -> None:
    task = running(scene, owned, max_attempts=1000)
    scene.set_task(task.guid, attempt=400)
    scene.run(lambda tx: tasks.fail(tx, task.guid, task.fence, "again"))
    assert scene.task(task.guid).not_before - scene.past(0) <= RETRY_DELAY_LIMIT


@on("sqlite")
def test_a_failure_said_again_after_it_was_postponed_is_accepted_and_changes_nothing(
    scene: Scene, owned: Ownership
) -> None:
    task = running(scene, owned, max_attempts=2)
    scene.run(lambda tx: tasks.fail(tx, task.guid, task.fence, "broken"))
    row = scene.task(task.guid)
    scene.run(lambda tx: tasks.fail(tx, task.guid, task.fence, "broken"))
    assert scene.task(task.guid) == row
    again = due_again(scene, owned, task.guid)
    with pytest.raises(StaleFence):
        scene.run(lambda tx: tasks.fail(tx, task.guid, task.fence, "broken"))
    assert scene.task(task.guid).fence == again.fence


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_node_that_falls_silent_in_mid_task_is_a_failed_attempt(
    scene: Scene, owned: Ownership, max_attempts: int
) -> None:
    task = running(scene, owned, max_attempts=max_attempts)
    assert scene.run(lambda tx: recovery.lapse(tx, [HERE])) == 0
    scene.set_task(task.guid, lease_until=scene.past())
    assert scene.run(lambda tx: recovery.lapse(tx, [HERE + 1])) == 0
    assert scene.run(lambda tx: recovery.lapse(tx, [HERE])) == 1
    row = scene.task(task.guid)
    assert row.status == (S.FAILED if max_attempts == 1 else S.POSTPONED)
    assert "n1 fell silent" in row.error
    with pytest.raises(StaleFence):
        scene.run(lambda tx: tasks.finish(tx, task.guid, task.fence, None))


def test_a_claim_that_lapsed_costs_no_attempt(scene: Scene, owned: Ownership) -> None:
    task = claimed(scene, owned, max_attempts=2)
    scene.set_task(task.guid, lease_until=scene.past())
    scene.run(lambda tx: recovery.lapse(tx, [HERE]))
    (task,) = scene.claim(owned).tasks
    scene.run(lambda tx: tasks.start(tx, task.guid, task.fence, "n1", LEASE))
    scene.run(lambda tx: tasks.fail(tx, task.guid, task.fence, "broken"))
    assert scene.task(task.guid).status == S.POSTPONED


def test_of_a_batch_only_the_standing_claims_are_locked_and_finished(scene: Scene, owned: Ownership) -> None:
    batch = [NewTask(TaskKind.ACTIVITY, ordering_key=KEY) for _ in range(4)]
    scene.run(lambda tx: enqueue(tx, batch))
    held = list(scene.claim(owned).tasks)
    scene.run(lambda tx: tasks.cancel(tx, held[1].guid))
    held[2] = replace(held[2], fence=held[2].fence - 1)

    def finish(tx: Transaction) -> list[ClaimedTask]:
        standing = lock_claimed(tx, held)
        succeed_claimed(tx, standing)
        return standing

    assert scene.run(finish) == [held[0], held[3]]
    statuses = [scene.task(task.guid).status for task in held]
    assert statuses == [S.SUCCEEDED, S.CANCELLED, S.CLAIMED, S.SUCCEEDED]
    assert scene.run(lambda tx: lock_claimed(tx, [])) == []


@on("sqlite")
def test_people_cancel_what_has_not_begun_and_retry_what_has_ended_badly(
    scene: Scene, owned: Ownership
) -> None:
    task = claimed(scene, owned)
    scene.run(lambda tx: tasks.cancel(tx, task.guid))
    with pytest.raises(StaleFence):
        scene.run(lambda tx: tasks.start(tx, task.guid, task.fence, "n1", LEASE))
    with pytest.raises(Conflict, match="cancelled and cannot be cancelled"):
        scene.run(lambda tx: tasks.cancel(tx, task.guid))
    scene.run(lambda tx: tasks.retry(tx, task.guid))
    with pytest.raises(Conflict, match="queued and cannot be retried"):
        scene.run(lambda tx: tasks.retry(tx, task.guid))
    (again,) = scene.claim(owned).tasks
    scene.run(lambda tx: tasks.start(tx, again.guid, again.fence, "n1", LEASE))
    with pytest.raises(Conflict, match="running and cannot be cancelled"):
        scene.run(lambda tx: tasks.cancel(tx, task.guid))


@on("sqlite")
def test_a_task_for_a_node_that_is_away_waits_a_while_without_losing_an_attempt(
    scene: Scene, owned: Ownership
) -> None:
    task = claimed(scene, owned, node="n9", max_attempts=1)
    scene.run(lambda tx: postpone(tx, [task], Lane.WORKER))
    row = scene.task(task.guid)
    assert (row.status, row.attempt) == (S.POSTPONED, 0)
    assert due_again(scene, owned, task.guid).node == "n9"
