"""What a scheduler finds around it is told where people look, and nodes that never return are forgotten."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import update

from orchestrator.cluster.model import Node
from orchestrator.cluster.surroundings import clocks
from orchestrator.insights import cluster as seen
from orchestrator.insights import gauges
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.tasks.claimed import lock_claimed
from scheduler.maintenance import Duty, nodes
from scheduler.master import Master
from scheduler.membership import Membership
from scheduler.surroundings import Lookout
from scheduler.term import Term
from tests.integration.conftest import on
from tests.integration.scene import Scene
from tests.integration.scheduler.conftest import MakeMember

pytestmark = on("sqlite")


def looked(member: Membership) -> None:
    """It has looked around, and its next renewal has told of it."""
    Lookout(member._parts, member, threading.Event()).look()
    member._renewed = float("-inf")
    member.tick()


def notices(scene: Scene) -> dict[str, tuple[str, list[str]]]:
    found = scene.run(lambda tx: seen.cluster(tx, 1, "always")).notices
    return {notice.code: (notice.sentence, notice.nodes) for notice in found}


def master_of(member: Membership) -> Master:
    made = Master(member._parts, member, threading.Event())
    assert made._hold() is not None
    return made


def test_nothing_is_said_where_nothing_is_wrong(scene: Scene, member: MakeMember) -> None:
    only = member(1, size=1, BOTSWAIN_LEAST_FREE_BYTES="0")
    master_of(only)
    looked(only)
    assert notices(scene) == {}
    (node,) = scene.run(lambda tx: seen.cluster(tx, 1, "always")).nodes
    assert node.free_bytes is not None and node.free_bytes > 0
    assert node.clock_ahead_seconds is not None and abs(node.clock_ahead_seconds) < 1


def test_a_redis_that_evicts_is_told_once_by_all(scene: Scene, member: MakeMember, redis_url: str) -> None:
    first, second = member(1), member(2)
    with Redis.from_url(redis_url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            looked(first)
            looked(second)
        finally:
            redis.config_set("maxmemory-policy", "noeviction")
    sentence, nodes = notices(scene)["redis_evicts"]
    assert "allkeys-lru" in sentence and "set noeviction" in sentence
    assert nodes == ["scheduler-1", "scheduler-2"]
    looked(first)
    looked(second)
    assert "redis_evicts" not in notices(scene)


def test_a_clock_that_is_wrong_and_a_disk_that_is_full_are_told(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = member(1, size=1, BOTSWAIN_LEAST_FREE_BYTES=str(2**62))
    real = clocks.ahead_of
    monkeypatch.setattr(clocks, "ahead_of", lambda other: real(other - timedelta(seconds=90)))
    looked(only)
    told = notices(scene)
    assert "90.0 s ahead of that of the database" in told["clock_skew"][0]
    assert "make room" in told["disk_room"][0]
    assert told["disk_room"][1] == ["scheduler-1"]
    assert scene.run(gauges.gauges).notices == {"clock_skew": 1, "disk_room": 1, "no_master": 1}


def test_a_cluster_without_schedulers_says_so(scene: Scene) -> None:
    assert "Start one" in notices(scene)["no_scheduler"][0]


def test_a_duty_that_fails_is_a_notice(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Term) -> dict[str, int]:
        raise RuntimeError("no room")

    monkeypatch.setattr("scheduler.master.DUTIES", (Duty("move", 1.0, fail),))
    only = member(1, size=1)
    Master(only._parts, only, threading.Event()).tick()
    assert notices(scene) == {
        "duty_fails": ("The duty move fails (1 in a row): RuntimeError: no room", ["scheduler-1"])
    }
    (duty,) = scene.run(lambda tx: seen.cluster(tx, 1, "always")).duties
    assert (duty.name, duty.failures, duty.error) == ("move", 1, "RuntimeError: no room")


def test_nodes_that_never_return_are_forgotten_after_a_time(scene: Scene, member: MakeMember) -> None:
    first, second = member(1, BOTSWAIN_FORGET_NODES_SECONDS="3600"), member(2)
    term = master_of(first)._hold()
    assert term is not None
    assert second.me.name == "scheduler-2"
    silent: Any = update(Node).where(Node.name == "scheduler-2")
    for seconds, gone in ((3000, {}), (4000, {"forgotten": 1})):
        past = scene.past(seconds)
        scene.run(lambda tx, past=past: tx.execute(silent.values(lease_until=past)))
        assert nodes.run(term) == gone
    assert [node.name for node in scene.run(lambda tx: seen.cluster(tx, 2, "always")).nodes] == [
        "scheduler-1"
    ]


def test_with_zero_no_node_is_forgotten(scene: Scene, member: MakeMember) -> None:
    first, _ = member(1, BOTSWAIN_FORGET_NODES_SECONDS="0"), member(2)
    term = master_of(first)._hold()
    assert term is not None
    past = scene.past(10**6)
    scene.run(lambda tx: tx.execute(update(Node).where(Node.name == "scheduler-2").values(lease_until=past)))
    assert nodes.run(term) == {}


def test_the_window_that_people_see_is_the_masters(scene: Scene, member: MakeMember) -> None:
    only = member(1, size=1, BOTSWAIN_MAINTENANCE_WINDOW="never")

    def rule() -> str:
        return scene.run(lambda tx: seen.cluster(tx, 1, "always")).maintenance_window.rule

    looked(only)
    assert rule() == "always"  # nobody is master
    master_of(only)
    assert rule() == "never"


def test_stale_writes_that_were_refused_are_counted(scene: Scene, member: MakeMember) -> None:
    only = member(1, size=1)
    overtaken = ClaimedTask(
        id=4711,
        tenant_id=1,
        guid="g",
        kind="dispatch",
        subject_id=1,
        node="",
        fence=1,
        attempt=1,
        seq=1,
        position=1,
        partition=0,
    )
    assert only.run(lambda tx: lock_claimed(tx, [overtaken, replace(overtaken, id=4712)])) == []
    only.lost(0)
    looked(only)
    assert scene.run(gauges.gauges).stale_writes == {"scheduler-1": 3}
