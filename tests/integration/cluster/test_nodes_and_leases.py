"""Places of nodes, and named leases: one holder at a time, however they come, pause and return."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import MASTER, SCHEDULER, NodeAlive, NodeIdentity
from orchestrator.cluster.model import Lease, Node
from orchestrator.database import database_time
from orchestrator.errors import NotFound
from orchestrator.transaction import Transaction
from tests.integration.conftest import on
from tests.integration.scene import LEASE, Scene, race
from tests.servers.server import wait_for


def identity(name: str = "scheduler-1", **more: Any) -> NodeIdentity:
    return NodeIdentity(name, SCHEDULER, "host", 4242, "folder", 1, 2, **more)


def register(scene: Scene, me: NodeIdentity, dead: str | None = None) -> str | None:
    return scene.run(lambda tx: cluster.register(tx, me, LEASE, dead))


def lapse_node(scene: Scene, name: str) -> None:
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Node).where(Node.name == name).values(lease_until=past)))


def lapse_lease(scene: Scene) -> None:
    past = scene.past()
    scene.run(lambda tx: tx.execute(update(Lease).where(Lease.name == MASTER).values(lease_until=past)))


def acquire(scene: Scene, holder: str) -> int | None:
    return scene.run(lambda tx: cluster.acquire_lease(tx, MASTER, holder, LEASE))


# Nodes --------------------------------------------------------------------------------------------------


def test_a_node_is_registered_renewed_and_leaves(scene: Scene) -> None:
    me = identity()
    assert register(scene, me) is None
    (row,) = scene.run(lambda tx: cluster.living(tx, SCHEDULER))
    assert (row.name, row.incarnation, row.pid, row.cluster_size) == ("scheduler-1", me.incarnation, 4242, 2)
    renewed = scene.run(lambda tx: cluster.renew(tx, me, 2 * LEASE))
    assert renewed is not None
    assert renewed.lease_until > row.lease_until
    scene.run(lambda tx: cluster.leave(tx, replace(me, incarnation="another")))
    assert len(scene.run(lambda tx: cluster.living(tx, SCHEDULER))) == 1
    scene.run(lambda tx: cluster.leave(tx, me))
    assert scene.run(lambda tx: cluster.living(tx, SCHEDULER)) == []
    assert scene.run(lambda tx: cluster.renew(tx, me, LEASE)) is None


def test_a_double_is_refused_and_told_where_the_other_runs(scene: Scene) -> None:
    register(scene, identity())
    _, before = scene.trial(lambda _: None)
    outcome, after = scene.trial(lambda tx: cluster.register(tx, identity(), LEASE, "somebody"))
    assert isinstance(outcome, NodeAlive)
    assert "process 4242" in outcome.detail and "SCHEDULER_CLUSTER_ID" in outcome.detail
    assert after == before


def test_a_dead_one_is_replaced_after_its_lease_or_by_name_before(scene: Scene) -> None:
    first, second, third = identity(), identity(), identity()
    register(scene, first)
    lapse_node(scene, first.name)
    assert register(scene, second) == first.owner
    assert scene.run(lambda tx: cluster.renew(tx, first, LEASE)) is None
    assert register(scene, third, dead=second.incarnation) == second.owner
    assert len({first.owner, second.owner, third.owner}) == 3


@on("sqlite")
def test_a_node_that_overslept_its_lease_lives_on_if_nobody_came(scene: Scene) -> None:
    me = identity()
    register(scene, me)
    lapse_node(scene, me.name)
    assert scene.run(lambda tx: cluster.living(tx, SCHEDULER)) == []
    assert scene.run(lambda tx: cluster.renew(tx, me, LEASE)) is not None
    assert len(scene.run(lambda tx: cluster.living(tx, SCHEDULER))) == 1


@on("sqlite")
def test_a_drained_node_is_told_with_its_renewal(scene: Scene) -> None:
    me = identity()
    register(scene, me)
    renewed = scene.run(lambda tx: cluster.renew(tx, me, LEASE))
    assert renewed is not None
    assert not renewed.is_draining
    scene.run(lambda tx: cluster.drain(tx, me.name))
    renewed = scene.run(lambda tx: cluster.renew(tx, me, LEASE))
    assert renewed is not None
    assert renewed.is_draining
    with pytest.raises(NotFound):
        scene.run(lambda tx: cluster.drain(tx, "scheduler-9"))


@on("mariadb", "postgres")
@pytest.mark.parametrize("place", ["free", "dead"])
def test_of_several_that_want_one_place_one_gets_it(scene: Scene, place: str) -> None:
    if place == "dead":
        register(scene, identity())
        lapse_node(scene, "scheduler-1")
    candidates = [identity() for _ in range(6)]
    outcomes = race(*[lambda me=me: register(scene, me) for me in candidates])
    refused = [outcome for outcome in outcomes if isinstance(outcome, NodeAlive)]
    assert len(refused) == 5, outcomes
    (row,) = scene.run(lambda tx: cluster.living(tx, SCHEDULER))
    assert (
        row.incarnation == candidates[[isinstance(o, NodeAlive) for o in outcomes].index(False)].incarnation
    )


# Named leases -------------------------------------------------------------------------------------------


def test_one_holds_the_lease_and_the_epoch_grows_with_each_new_one(scene: Scene) -> None:
    first = acquire(scene, "a")
    assert first is not None
    assert (acquire(scene, "a"), acquire(scene, "b")) == (first, None)
    lapse_lease(scene)
    assert acquire(scene, "b") == first + 1
    assert acquire(scene, "a") is None
    scene.run(lambda tx: cluster.give_up_lease(tx, MASTER, "a"))
    assert acquire(scene, "a") is None
    scene.run(lambda tx: cluster.give_up_lease(tx, MASTER, "b"))
    assert acquire(scene, "a") == first + 2
    lapse_lease(scene)
    assert acquire(scene, "a") == first + 3, "who overslept does not know what others did meanwhile"


def test_within_a_transaction_the_lease_stands_or_it_does_not(scene: Scene) -> None:
    epoch = acquire(scene, "a")
    assert epoch is not None

    def stands(holder: str, number: int) -> bool:
        return scene.run(lambda tx: cluster.lock_lease(tx, MASTER, holder, number))

    assert stands("a", epoch)
    assert not stands("a", epoch - 1)
    assert not stands("a", epoch + 1)
    assert not stands("b", epoch)
    lapse_lease(scene)
    assert not stands("a", epoch)


@on("mariadb", "postgres")
def test_a_take_over_waits_for_the_transaction_that_locked_the_lease(scene: Scene) -> None:
    short = timedelta(seconds=0.4)
    epoch = scene.run(lambda tx: cluster.acquire_lease(tx, MASTER, "a", short))
    assert epoch is not None

    def duty(tx: Transaction) -> bool:
        stood = cluster.lock_lease(tx, MASTER, "a", epoch)
        over = select(Lease.name).where(Lease.name == MASTER, Lease.lease_until < database_time())
        assert wait_for(lambda: tx.execute(over).first() is not None, 5)  # a master that is slow
        return stood

    def take_over(tx: Transaction) -> int | None:
        return cluster.acquire_lease(tx, MASTER, "b", LEASE)

    assert scene.one_after_the_other(duty, take_over) == (True, epoch + 1, "waited")
    assert not scene.run(lambda tx: cluster.lock_lease(tx, MASTER, "a", epoch))


def holder_while_locked(scene: Scene, name: str, epoch: int) -> str | None:
    query = select(Lease.holder).where(Lease.name == MASTER)

    def look(tx: Transaction) -> str | None:
        return str(tx.execute(query).scalar_one()) if cluster.lock_lease(tx, MASTER, name, epoch) else None

    return scene.run(look)


@on("mariadb", "postgres")
def test_never_two_holders_however_they_race(scene: Scene) -> None:
    seen: list[tuple[int, str]] = []
    lock = threading.Lock()

    def candidate(name: str) -> None:
        for _ in range(12):
            epoch = acquire(scene, name)
            if epoch is None:
                continue
            with lock:
                seen.append((epoch, name))
            assert holder_while_locked(scene, name, epoch) in (None, name)
            scene.run(lambda tx: cluster.give_up_lease(tx, MASTER, name))

    outcomes = race(*[lambda name=f"s{number}": candidate(name) for number in range(5)])
    assert outcomes == [None] * 5
    holders: dict[int, set[str]] = {}
    for epoch, name in seen:
        holders.setdefault(epoch, set()).add(name)
    assert {len(names) for names in holders.values()} == {1}
    assert len(holders) > 1


@on("sqlite")
def test_the_end_of_a_lease_is_judged_by_the_databases_clock(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = acquire(scene, "a")
    for jump in (3600, -3600):
        real = __import__("time").time
        monkeypatch.setattr("time.time", lambda real=real, jump=jump: real() + jump)
        assert acquire(scene, "b") is None
        assert acquire(scene, "a") == epoch
        monkeypatch.undo()
    row = scene.run(lambda tx: tx.execute(select(Lease.lease_until).where(Lease.name == MASTER)).scalar_one())
    assert timedelta(0) < row - scene.past(0) <= LEASE
