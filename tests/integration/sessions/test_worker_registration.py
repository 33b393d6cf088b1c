"""A worker node's place: taken by one process at a time, given up cleanly, and what a restart means."""

from typing import Any

import pytest

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster import worker_nodes
from orchestrator.cluster.lifecycle import SCHEDULER, WORKER, NodeAlive, NodeIdentity
from orchestrator.errors import Conflict, NotFound
from orchestrator.sessions import lifecycle as sessions
from orchestrator.sessions import nodes
from orchestrator.sessions.lifecycle import Place


def double(name: str = "worker-1") -> NodeIdentity:
    return NodeIdentity(name=name, kind=WORKER, host="other desk", pid=12, working_path="")


def test_a_second_process_with_the_name_is_refused_with_a_sentence(office: Any) -> None:
    me = office.node()
    with pytest.raises(NodeAlive) as refused:
        office.keep(double())
    assert "desk" in refused.value.detail and "BOTSWAIN_NODE_NAME" in refused.value.detail
    assert office.keep(me).lease_seconds == 15


def test_a_dead_one_s_place_can_be_taken_at_once_and_a_silent_one_s_after_its_lease(office: Any) -> None:
    me, second, third = office.node(), double(), double()
    office.run(nodes.keep, second, {}, [], me.incarnation)
    with pytest.raises(NodeAlive):
        office.keep(me)
    office.silence("worker-1")
    office.keep(third)
    with pytest.raises(NodeAlive):
        office.keep(second)


def test_what_the_earlier_incarnation_had_open_is_over(office: Any) -> None:
    me = office.node()
    public_id = office.run(sessions.ask, office.robot())
    office.begin(office.sessions()[0])
    office.run(sessions.opened, public_id, "worker-1", Place("desk", "child-process", 1))
    office.run(nodes.keep, double(), {}, [], me.incarnation)
    (session,) = office.sessions()
    assert (session.state, session.outcome) == ("closed", "lapsed")


def test_a_session_that_is_only_asked_for_outlives_a_restart_of_the_node(office: Any) -> None:
    me = office.node()
    office.run(sessions.ask, office.robot())
    office.run(nodes.leave, "worker-1", me.incarnation)
    office.keep(double())
    assert office.sessions()[0].state == "asked"


def test_leaving_frees_the_name_but_not_another_s(office: Any) -> None:
    me = office.node()
    office.run(nodes.leave, "worker-1", double().incarnation)
    with pytest.raises(NodeAlive):
        office.keep(double())
    office.run(nodes.leave, "worker-1", me.incarnation)
    office.keep(double())


def test_one_that_was_replaced_ends_nothing_of_its_successor_s(office: Any) -> None:
    me, successor = office.node(), double()
    office.run(nodes.keep, successor, {}, [], me.incarnation)
    public_id = office.run(sessions.ask, office.robot())
    office.begin(office.sessions()[0])
    office.run(sessions.opened, public_id, "worker-1", Place("other desk", "child-process", 1))
    office.run(nodes.leave, "worker-1", me.incarnation)
    assert office.sessions()[0].state == "open"
    office.run(nodes.leave, "worker-1", successor.incarnation)
    assert office.sessions()[0].state == "closed"


def test_the_order_to_drain_comes_with_the_answer_and_ends_with_the_process(office: Any) -> None:
    me = office.node()
    assert not office.keep(me).drain
    office.run(worker_nodes.drain, "worker-1")
    assert office.keep(me).drain
    office.run(nodes.leave, "worker-1", me.incarnation)
    assert not office.keep(double()).drain
    with pytest.raises(NotFound):
        office.run(worker_nodes.drain, "worker-2")


def test_a_scheduler_is_no_worker_node(office: Any) -> None:
    from datetime import timedelta

    scheduler = NodeIdentity(name="scheduler-1", kind=SCHEDULER, host="desk", pid=1, working_path="")
    office.run(cluster.register, scheduler, timedelta(seconds=15))
    with pytest.raises(NotFound):
        office.run(worker_nodes.drain, "scheduler-1")
    impostor = NodeIdentity(
        name="scheduler-1",
        kind=WORKER,
        host="desk",
        pid=1,
        working_path="",
        incarnation=scheduler.incarnation,
    )
    with pytest.raises(Conflict):
        office.keep(impostor)
    office.run(nodes.leave, "scheduler-1", scheduler.incarnation)
    assert office.run(cluster.find, "scheduler-1") is not None
