"""What worker nodes say of themselves, and what people see of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from orchestrator.cluster.model import Node
from orchestrator.tenancy import DEFAULT_TENANT
from orchestrator.wiring import Parts
from tests.integration.api.conftest import Caller, MakeToken

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)

WORD = {"incarnation": "11111111-2222-4333-8444-555555555555", "host": "desk", "pid": 7, "working_path": "/w"}
MIB = 1024 * 1024


@pytest.fixture
def tell(caller: MakeToken) -> Any:
    """A node's word, and the answer to it."""
    node = caller("node")

    def say(**measures: Any) -> Any:
        return node("PUT", "/api/v1/nodes/worker-1", json=WORD | measures)

    return say


def notices(admin: Caller) -> dict[str, Any]:
    return {one["code"]: one for one in admin.get("/api/v1/cluster").json["notices"]}


def test_the_clock_and_the_disk_of_a_worker_node_are_told_as_those_of_schedulers(
    admin: Caller, tell: Any
) -> None:
    assert tell(free_bytes=5 * MIB, clock_ahead_seconds=-90.4).status_code == 200
    (node,) = admin.get("/api/v1/nodes").json["items"]
    assert (node["free_bytes"], node["clock_ahead_seconds"]) == (5 * MIB, -90.4)
    told = notices(admin)
    assert told["disk_room"]["nodes"] == told["clock_skew"]["nodes"] == ["worker-1"]
    assert told["disk_room"]["sentence"] == "/w has 5 MiB left, less than 1024: make room"
    assert "90.4 s behind that of the database" in told["clock_skew"]["sentence"]
    assert 'botswain_notices{code="disk_room"} 1.0' in admin.get("/metrics").text
    assert tell(free_bytes=2**62, clock_ahead_seconds=0.2).json["now"]
    assert not {"disk_room", "clock_skew"} & notices(admin).keys()


def test_nodes_are_filtered_by_name_and_state(admin: Caller, tell: Any, parts: Parts) -> None:
    tell()

    def names(**query: Any) -> list[str]:
        return [node["name"] for node in admin.get("/api/v1/nodes", **query).json["items"]]

    def only(state: str) -> bool:
        states = [one for one in ("up", "draining", "lost") if names(state=one, name="worker-1")]
        return states == [state] == [admin.get("/api/v1/nodes/worker-1").json["state"]]

    assert (names(name="worker-1"), names(name="worker-2")) == (["worker-1"], [])
    assert only("up")
    admin.post("/api/v1/nodes/worker-1/drain")
    assert only("draining")
    ended = update(Node).values(lease_until=Node.started_at)
    parts.transactions.run(lambda tx: tx.execute(ended), tenant_id=DEFAULT_TENANT)
    assert only("lost")
    assert admin.get("/api/v1/nodes", state="gone").status_code == 400


def test_a_node_of_the_version_before_says_neither(admin: Caller, tell: Any) -> None:
    assert tell().status_code == 200
    node = admin.get("/api/v1/nodes/worker-1").json
    assert (node["free_bytes"], node["clock_ahead_seconds"]) == (None, None)
    assert not {"disk_room", "clock_skew"} & notices(admin).keys()


@pytest.mark.parametrize(
    "measures", [{"free_bytes": -1}, {"free_bytes": 2**63}, {"clock_ahead_seconds": "NaN"}]
)
def test_what_is_no_measure_is_refused(admin: Caller, tell: Any, measures: Any) -> None:
    assert tell(**measures).status_code == 400
    assert admin.get("/api/v1/nodes").json["items"] == []
