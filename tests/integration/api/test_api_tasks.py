"""Tasks over REST v1: for people, and for worker nodes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from orchestrator.cluster import lifecycle as cluster
from orchestrator.cluster.lifecycle import SCHEDULER, WORKER, NodeIdentity
from orchestrator.tasks.claim import ClaimedTask
from orchestrator.tasks.model import Lane
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.transaction import Transaction
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken, Scheduler

TASKS = "/api/v1/tasks"
LEASE = timedelta(seconds=60)
ME = NodeIdentity("scheduler-1", SCHEDULER, "host", 1, "/nowhere", 1, 3)


@pytest.fixture
def claimed(scheduler: Scheduler) -> Callable[[], list[ClaimedTask]]:
    """What a scheduler does: claims what waits for worker nodes."""
    return lambda: scheduler.claim(Lane.WORKER)


def test_a_task_is_done_by_a_node(admin: Caller, caller: MakeToken, claimed: Any) -> None:
    given = {
        "activity": "botswain.echo",
        "arguments": {"say": "привет"},
        "max_attempts": 2,
        "ordering_key": "k",
    }
    made = admin.post(TASKS, given)
    assert made.status_code == 201
    assert (made.json["state"], made.json["kind"], made.json["attempt"]) == ("queued", "activity", 0)
    path = f"{TASKS}/{made.json['id']}"
    (task,) = claimed()
    assert admin.get(path).json["state"] == "claimed"
    assert admin.get("/api/v1/cluster").json["nodes"][0]["batch"] == [task.guid]

    node = caller("node")
    say = {"fence": task.fence, "node": "node-1"}
    order = node.post(f"{path}/start", say)
    assert order.status_code == 200
    assert (order.json["activity"], order.json["arguments"]) == ("botswain.echo", {"say": "привет"})
    assert (order.json["attempt"], order.json["max_attempts"], order.json["kind"]) == (1, 2, "activity")
    assert node.post(f"{path}/start", say).json["code"] == "stale_fence", "a message that came twice"
    assert node.post(f"{path}/renew", say).json["owner"] == "node-1"
    late = node.post(f"{path}/finish", {"fence": task.fence - 1, "result": 1})
    assert (late.status_code, late.json["code"]) == (409, "stale_fence")
    for _ in range(2):
        done = node.post(f"{path}/finish", {"fence": task.fence, "result": ["привет"]})
        assert (done.status_code, done.json["state"], done.json["result"]) == (200, "succeeded", ["привет"])
    assert node.post(f"{path}/renew", say).status_code == 409


def test_an_ordering_key_is_shown_and_asked_for(admin: Caller) -> None:
    made = [
        admin.post(TASKS, {"activity": "a", **given}).json
        for given in ({"ordering_key": "k"}, {}, {"ordering_key": "K"}, {"ordering_key": "k"})
    ]
    assert [one["ordering_key"] for one in made] == ["k", "", "K", "k"]
    assert admin.get(f"{TASKS}/{made[0]['id']}").json["ordering_key"] == "k"
    assert [one["id"] for one in admin.get(TASKS, ordering_key="k").json["items"]] == [
        made[3]["id"],
        made[0]["id"],
    ]


def test_failed_tasks_are_seen_and_retried(admin: Caller, caller: MakeToken, claimed: Any) -> None:
    ids = [admin.post(TASKS, {"activity": f"a.{number % 2}"}).json["id"] for number in range(4)]
    node = caller("node")
    for task in claimed():
        node.post(f"{TASKS}/{task.guid}/start", {"fence": task.fence, "node": "n"})
        failed = node.post(f"{TASKS}/{task.guid}/finish", {"fence": task.fence, "error": "no route to host"})
        assert failed.json["state"] == "failed"
    listed = admin.get(TASKS, state="failed", activity="a.1").json["items"]
    assert [one["id"] for one in listed] == [ids[3], ids[1]]
    assert listed[0]["error"] == "no route to host"
    assert admin.post(f"{TASKS}/{ids[0]}/retry").json["state"] == "queued"
    assert admin.post(f"{TASKS}/{ids[0]}/retry").status_code == 409
    assert set(admin.post(f"{TASKS}/retry", {"activity": "a.1"}).json["ids"]) == {ids[1], ids[3]}
    refused = admin.post(f"{TASKS}/retry", {"ids": [ids[2], ids[0]]})
    assert refused.status_code == 409
    assert admin.get(f"{TASKS}/{ids[2]}").json["state"] == "failed", "all of them or none"
    assert admin.post(f"{TASKS}/retry", {}).json["ids"] == [ids[2]]
    assert [one["state"] for one in admin.get(TASKS).json["items"]] == ["queued"] * 4
    assert len(claimed()) == 4


def test_a_waiting_task_is_cancelled_and_a_begun_one_not(
    admin: Caller, caller: MakeToken, claimed: Any
) -> None:
    waits, begun = (admin.post(TASKS, {"activity": "a"}).json["id"] for _ in range(2))
    assert admin.post(f"{TASKS}/{waits}/cancel").json["state"] == "cancelled"
    (task,) = claimed()
    assert task.guid == begun
    caller("node").post(f"{TASKS}/{begun}/start", {"fence": task.fence, "node": "n"})
    assert admin.post(f"{TASKS}/{begun}/cancel").status_code == 409
    assert admin.post(f"{TASKS}/{waits}/retry").json["state"] == "queued"


def test_a_postponed_task_is_queued_with_a_time(admin: Caller, claimed: Any) -> None:
    made = admin.post(TASKS, {"activity": "a", "not_before": "2900-01-01T00:00:00Z"}).json
    assert (made["state"], made["not_before"]) == ("queued", "2900-01-01T00:00:00Z")
    assert claimed() == []
    assert [one["id"] for one in admin.get(TASKS, state="queued").json["items"]] == [made["id"]]


BAD_FIELDS: list[Any] = [
    ("", {}, "activity"),
    ("", {"activity": "a/b"}, "activity"),
    ("", {"activity": "a", "max_attempts": 101}, "max_attempts"),
    ("", {"activity": "a", "ordering_key": "k" * 201}, "ordering_key"),
    ("", {"activity": "a", "priority": 1}, "priority"),
    ("/retry", {"ids": []}, "ids"),
    ("/retry", {"ids": ["x"], "activity": "a"}, "activity"),
]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_bad_field_is_named(admin: Caller, subtests: pytest.Subtests) -> None:
    for path, body, field in BAD_FIELDS:
        with subtests.test(path=path):
            refused = admin.post(f"{TASKS}{path}", body)
            assert (refused.status_code, refused.json["errors"][0]["field"]) == (400, field)


def test_the_cluster_is_seen_and_drained(
    admin: Caller, parts: Parts, claimed: Any, caller: MakeToken
) -> None:
    def register(tx: Transaction, node: NodeIdentity, lease: timedelta) -> None:
        cluster.register(tx, node, lease)

    run = parts.transactions.run
    other = NodeIdentity("scheduler-2", SCHEDULER, "host", 2, "/nowhere", 2, 3)
    lost = NodeIdentity("scheduler-3", SCHEDULER, "host", 3, "/nowhere", 3, 3)
    worker = NodeIdentity("node-1", WORKER, "desk", 4, "/nowhere")
    for node, lease in ((other, LEASE), (lost, -LEASE), (worker, LEASE)):
        run(partial(register, node=node, lease=lease), tenant_id=DEFAULT_TENANT)
    run(lambda tx: cluster.acquire_lease(tx, "master", other.owner, LEASE), tenant_id=DEFAULT_TENANT)
    admin.post(TASKS, {"activity": "a"})

    seen = admin.get("/api/v1/cluster").json
    assert (seen["size"], seen["backlog"]) == (3, 1)
    assert (seen["master"]["node"], seen["master"]["term"]) == ("scheduler-2", 1)
    assert [(one["name"], one["state"], one["is_master"]) for one in seen["nodes"]] == [
        ("scheduler-1", "up", False),
        ("scheduler-2", "up", True),
        ("scheduler-3", "lost", False),
    ]
    assert [len(one["partitions"]) for one in seen["nodes"]] == [64, 0, 0]
    drained = admin.post("/api/v1/cluster/scheduler-1/drain")
    assert drained.status_code == 202
    assert drained.json["nodes"][0]["state"] == "draining"
    assert admin.post("/api/v1/cluster/scheduler-9/drain").status_code == 404
    assert caller("operator").post("/api/v1/cluster/scheduler-1/drain").status_code == 202
    assert caller("viewer").post("/api/v1/cluster/scheduler-1/drain").status_code == 403
    (node,) = admin.get("/api/v1/nodes").json["items"]
    assert (node["name"], node["host"], node["state"]) == ("node-1", "desk", "up")

    metrics = admin.get("/metrics").text
    for line in (
        'botswain_nodes_up{kind="scheduler"} 2.0',
        'botswain_nodes_up{kind="worker"} 1.0',
        "botswain_backlog 1.0",
        'botswain_tasks{state="queued"} 1.0',
        'botswain_requests_total{method="GET",route="get_cluster",status="200"} 1.0',
        'botswain_stale_writes_refused_total{node="scheduler-1"} 0.0',
        'botswain_refusals_total{code="forbidden"} 1.0',
    ):
        assert line in metrics
