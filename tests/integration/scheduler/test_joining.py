"""How schedulers get their places: one after the other, by number or on lease, or told what to change."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from orchestrator import schema
from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import NodeAlive
from orchestrator.errors import ConfigurationError, Unavailable
from orchestrator.tasks.model import Partition
from scheduler import arrival, joining
from scheduler.membership import Membership
from tests.integration.conftest import on
from tests.integration.scene import Scene, race
from tests.integration.scheduler.conftest import EVERY, MakeMember, die

sqlite = on("sqlite")


@sqlite
def test_a_folder_that_cannot_be_made_is_said(scene: Scene, member: MakeMember, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        member(1, SCHEDULER_WORKING_PATH=str(tmp_path / "file" / "folder"))


LIVES = {"BOTSWAIN_PARTITION_LEASE_SECONDS": "15"}  # renewed ten times a second, seen with the first look
DIES = {"BOTSWAIN_PARTITION_LEASE_SECONDS": "2.5"}


def elsewhere(member: MakeMember, number: int | str = 1, **settings: str) -> Membership:
    """A first scheduler that is another living process."""
    first = member(number, join=False, **LIVES | settings)
    first.me = replace(first.me, pid=os.getppid())
    first.join()
    return first


def partitions_of(scene: Scene, member: Membership) -> set[int]:
    """By the database, whether or not a lease so short has ended meanwhile on a busy machine."""
    mine = select(Partition.id).where(Partition.owner == member.me.owner)
    return set(scene.run(lambda tx: tx.execute(mine).scalars().all()))


@contextmanager
def living(*members: Membership) -> Iterator[None]:
    """They renew meanwhile."""
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.1):
            for one in members:
                one._renew(time.monotonic())

    holder = threading.Thread(target=live)
    holder.start()
    try:
        yield
    finally:
        stop.set()
        holder.join()


MASTER = {"SCHEDULER_MASTER": "1"}
REFUSED: list[tuple[int | str, dict[str, str], int | str, dict[str, str], str]] = [
    (1, {}, 1, {}, "scheduler-1 is already running .* SCHEDULER_CLUSTER_ID"),
    (1, {}, 2, {"SCHEDULER_CLUSTER_SIZE": "3"}, "SCHEDULER_CLUSTER_SIZE is 3 here and 2 at scheduler-1"),
    (1, {}, "auto", {}, "SCHEDULER_CLUSTER_ID is auto here and a number at scheduler-1"),
    ("auto", {}, 2, {}, "SCHEDULER_CLUSTER_ID is 2 here and auto at scheduler-1"),
    (
        1,
        {"SCHEDULER_MASTER": "1"},
        2,
        {"SCHEDULER_MASTER": "1"},
        "SCHEDULER_MASTER is 1 here and at scheduler-1",
    ),
]


@pytest.mark.parametrize(("present", "its", "coming", "own", "sentence"), REFUSED)
@sqlite
def test_who_cannot_live_beside_a_living_one_is_told_what_to_change(
    scene: Scene,
    member: MakeMember,
    present: int | str,
    its: dict[str, str],
    coming: int | str,
    own: dict[str, str],
    sentence: str,
) -> None:
    first = elsewhere(member, present, **its)
    second = member(coming, join=False, **LIVES, **own)
    with living(first):
        with pytest.raises(ConfigurationError, match=sentence):
            second.join()
        assert partitions_of(scene, first) == EVERY
    assert [node.name for node in scene.run(lambda tx: cluster.living(tx, "scheduler"))] == ["scheduler-1"]


@sqlite
def test_a_folder_that_is_in_use_is_refused(scene: Scene, member: MakeMember, tmp_path: Path) -> None:
    folder = {"SCHEDULER_WORKING_PATH": str(tmp_path / "shared")}
    with (
        living(elsewhere(member, **folder)),
        pytest.raises(ConfigurationError, match="SCHEDULER_WORKING_PATH"),
    ):
        member(2, **LIVES, **folder)


@sqlite
def test_with_leases_too_long_to_watch_nobody_is_called_dead(scene: Scene, member: MakeMember) -> None:
    long = {"BOTSWAIN_PARTITION_LEASE_SECONDS": "60"}
    first = member(1, join=False, **long)
    first.me = replace(first.me, pid=os.getppid())
    first.join()
    with pytest.raises(ConfigurationError, match="already running"):
        member(1, **long)


@sqlite
def test_a_holder_that_renews_no_more_is_replaced(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "WATCH_SECONDS", 1.2)
    elsewhere(member, **DIES)
    assert partitions_of(scene, member(1, **DIES)) == EVERY


@sqlite
def test_a_holder_whose_process_is_gone_is_replaced_at_once(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = member(1, join=False)
    first.me = replace(first.me, pid=2**22 + 1)  # above what Linux gives
    first.join()
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waited"))
    second = member(1)
    assert set(second.owned()) == EVERY
    assert {o.owner for o in second.owned().values()} == {second.me.owner}


# Numbers on lease ---------------------------------------------------------------------------------------


def settle(*members: Membership) -> list[int]:
    """Give back, take, and how many each has then. Each partition has one owner."""
    for _ in range(2):
        for one in members:
            one.tick()
    owned = [set(one.owned()) for one in members]
    assert set().union(*owned) == EVERY
    assert sum(map(len, owned)) == len(EVERY)
    return [len(each) for each in owned]


@sqlite
def test_with_auto_the_lowest_free_number_is_leased_and_the_size_is_how_many_live(
    scene: Scene, member: MakeMember, tmp_path: Path
) -> None:
    members = [member("auto"), member("auto"), member("auto")]
    first, second, third = members
    assert [(one.me.name, one.me.cluster_id) for one in members] == [
        (f"scheduler-{number}", number) for number in (1, 2, 3)
    ]
    assert len({one.me.working_path for one in members}) == 3
    assert settle(*members) == [22, 21, 21]
    kept = set(first.owned())
    epochs = {p: o.epoch for one in members for p, o in one.owned().items()}
    second.leave()
    assert settle(first, third) == [32, 32]
    assert kept < set(first.owned()), "only what must move has moved"
    adopted = set(first.owned()) - kept
    assert all(first.owned()[p].epoch > epochs[p] for p in adopted)
    returned = member("auto")
    assert returned.me.name == "scheduler-2"
    assert sorted(settle(first, returned, third)) == [21, 21, 22]


@sqlite
def test_a_number_on_lease_is_free_again_when_its_lease_has_ended(scene: Scene, member: MakeMember) -> None:
    first, second = member("auto"), member("auto")
    settle(first, second)
    die(scene, first)
    heir = member("auto")
    assert heir.me.name == "scheduler-1"
    assert settle(heir, second) == [32, 32]
    with pytest.raises(NodeAlive):
        first._renew(time.monotonic())


@on("mariadb", "postgres")
def test_of_several_that_start_together_each_gets_its_own_number(scene: Scene, member: MakeMember) -> None:
    starting = [member("auto", join=False) for _ in range(6)]
    assert race(*[one.join for one in starting]) == [None] * 6
    assert sorted(one.me.cluster_id for one in starting) == [1, 2, 3, 4, 5, 6]


@on("mariadb", "postgres")
def test_of_two_designated_that_start_together_one_is_refused(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "WATCH_SECONDS", 0.0)  # so that it is not called dead for want of renewals
    starting = [member(number, join=False, SCHEDULER_MASTER="1") for number in (1, 2)]
    outcomes = race(*[one.join for one in starting])
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConfigurationError", "NoneType"]


# A database that is away ---------------------------------------------------------------------------------


@on("sqlite")
def test_a_database_that_is_away_is_waited_for(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first word, and in the midst of joining: the place that is ours already is no hindrance."""
    me = member(join=False)
    ways: list[Any] = [OperationalError("SELECT 1", {}, OSError("Connection refused")), None, None]
    ticks: list[Any] = [Unavailable("The database does not answer; try again shortly."), None]

    def turn(moments: list[Any]) -> None:
        if (way := moments.pop(0)) is not None:
            raise way

    monkeypatch.setattr(arrival, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(arrival, "_end_when_asked", lambda: None)
    monkeypatch.setattr(schema, "problem", lambda engine: turn(ways))
    monkeypatch.setattr(me, "tick", lambda: turn(ticks))
    arrival.arrive(me._parts, me)
    assert (ways, ticks) == ([], [])
    node = scene.run(lambda tx: cluster.find(tx, "scheduler-1"))
    assert node is not None and node.incarnation == me.me.incarnation


@on("sqlite")
def test_what_is_refused_is_not_waited_for(
    scene: Scene, member: MakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = member(join=False)
    monkeypatch.setattr(schema, "problem", lambda engine: "the schema is older")
    with pytest.raises(ConfigurationError, match="older"):
        arrival.arrive(me._parts, me)
