"""A message on a node: what is done, what is dropped, and what is reported, against a server in memory."""

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from workers import backoff
from workers.activities.activity import ActivityError, Context
from workers.performance import Performances
from workers.server import Away, Order, Refused
from workers.settings import Settings

GUID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


class FakeServer:
    """Knows one task; `answers` are raised, one a call, before the call counts."""

    def __init__(self) -> None:
        self.order = Order(GUID, 7, "activity", "acme.work", {"a": 1}, lease_seconds=0.3)
        self.reports: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: dict[str, list[Exception]] = {"start": [], "renew": [], "finish": []}
        self.renewed = threading.Event()
        self.lost: Exception | None = None
        self.begun = False

    def _answer(self, verb: str) -> None:
        if self.answers[verb]:
            raise self.answers[verb].pop(0)

    def start(self, guid: str, fence: int, key: str) -> Order:
        self.keys.append(key)
        self._answer("start")
        if (guid, fence) != (self.order.guid, self.order.fence) or self.begun:
            raise Refused(409, "stale_fence", "somebody else has it")
        self.begun = True
        return self.order

    def renew(self, guid: str, fence: int) -> None:
        self.renewed.set()
        if self.lost:
            raise self.lost
        self._answer("renew")

    def finish(self, guid: str, fence: int, **told: Any) -> None:
        self._answer("finish")
        self.reports.append({"guid": guid, "fence": fence, **told})


class FakeRegistry:
    def __init__(self) -> None:
        self.activity: Callable[[Any, Context], Any] = lambda arguments, context: {"did": arguments}

    def find(self, name: str) -> Callable[[Any, Context], Any]:
        if name != "acme.work":
            raise ActivityError(f"no activity {name}")
        return self.activity


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setattr(backoff, "FIRST", 0.01)
    return FakeServer()


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def performances(settings: Callable[..., Settings], server: Any, registry: Any) -> Performances:
    return Performances(settings(), server, registry, lambda order, context: {"session": order.session})


def test_a_task_is_done_and_reported(performances: Performances, server: FakeServer) -> None:
    performances.perform(GUID, 7)
    assert server.reports == [{"guid": GUID, "fence": 7, "result": {"did": {"a": 1}}, "error": None}]
    assert performances.running == 0


@pytest.mark.parametrize(
    ("guid", "fence"),
    [
        ("9f8b4c1e-3f63-4a52-8a4e-0c1d2e3f4a5b", 7),
        (GUID, 8),
        (GUID, "7"),
        (GUID, 7.0),
        (GUID, True),
        (GUID, -1),
        (GUID, 2**60),
        (GUID, None),
        (GUID.upper(), 7),
        (f"{{{GUID}}}", 7),
        ("../tokens", 7),
        (f"{GUID}/../../tokens?", 7),
        (5, 7),
        (None, 7),
        ({}, 7),
        ([GUID], 7),
        ("", 7),
    ],
)
def test_a_forged_message_does_nothing(
    performances: Performances, server: FakeServer, guid: Any, fence: Any
) -> None:
    performances.perform(guid, fence)
    assert server.reports == [] and not server.begun
    performances.perform(GUID, 7)
    assert len(server.reports) == 1


def test_a_message_that_comes_again_is_dropped(performances: Performances, server: FakeServer) -> None:
    for _ in range(3):
        performances.perform(GUID, 7)
    assert len(server.reports) == 1
    assert len(set(server.keys)) == 3  # else the server would repeat its first answer to a double


def test_one_key_is_used_until_the_server_has_answered(
    performances: Performances, server: FakeServer
) -> None:
    server.answers["start"] = [Away("cut"), Away("503")]
    performances.perform(GUID, 7)
    assert len(server.keys) == 3 and len(set(server.keys)) == 1
    assert len(server.reports) == 1


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (ActivityError("the printer is out of paper"), "the printer is out of paper"),
        (ActivityError(), "It failed and did not say why."),
        (ValueError("bad"), "ValueError: bad"),
        (SystemExit(3), "SystemExit: 3"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_whatever_an_activity_raises_is_a_reported_failure(
    performances: Performances, server: FakeServer, registry: FakeRegistry, raised: Any, sentence: str
) -> None:
    def fail(arguments: Any, context: Context) -> Any:
        raise raised

    registry.activity = fail
    performances.perform(GUID, 7)
    assert server.reports[0]["error"] == sentence and server.reports[0]["result"] is None


@pytest.mark.parametrize("result", [object(), {1, 2}, float("nan"), b"bytes", "x" * 2_000_000])
def test_a_result_that_cannot_be_sent_is_a_failure(
    performances: Performances, server: FakeServer, registry: FakeRegistry, result: Any
) -> None:
    registry.activity = lambda arguments, context: result
    performances.perform(GUID, 7)
    assert "The activity's result is" in server.reports[0]["error"]


def test_unknown_activities_and_kinds_are_failures(performances: Performances, server: FakeServer) -> None:
    server.order = Order(GUID, 7, "activity", "acme.other", {}, 1)
    performances.perform(GUID, 7)
    server.order, server.begun = Order(GUID, 7, "dispatch", "", {}, 1), False
    performances.perform(GUID, 7)
    assert [report["error"] for report in server.reports] == [
        "no activity acme.other",
        "This node does not know tasks of the kind 'dispatch': is it too old?",
    ]


def test_a_session_is_the_coordinator_s(performances: Performances, server: FakeServer) -> None:
    server.order = Order(GUID, 7, "open_session", "", {}, 1, {"id": "s"}, "secret-guid")
    performances.perform(GUID, 7)
    assert server.reports[0]["result"] == {"session": {"id": "s"}}
    assert "secret-guid" not in repr(server.order)


def test_the_report_is_repeated_while_the_server_is_away(
    performances: Performances, server: FakeServer
) -> None:
    server.answers["finish"] = [Away("503"), Away("gone"), Away("gone")]
    performances.perform(GUID, 7)
    assert len(server.reports) == 1


def test_a_result_that_the_server_refuses_is_reported_as_a_failure(
    performances: Performances, server: FakeServer
) -> None:
    server.answers["finish"] = [Refused(400, "invalid", "result: nested too deeply")]
    performances.perform(GUID, 7)
    assert server.reports[0]["error"] == "The server did not take the result: result: nested too deeply"


def test_a_stale_report_is_dropped(performances: Performances, server: FakeServer) -> None:
    server.answers["finish"] = [Refused(409, "stale_fence", "too late")]
    performances.perform(GUID, 7)
    assert server.reports == []


def test_the_lease_is_renewed_while_the_activity_runs(
    performances: Performances, server: FakeServer, registry: FakeRegistry
) -> None:
    registry.activity = lambda arguments, context: server.renewed.wait(5)
    performances.perform(GUID, 7)
    assert server.reports[0]["result"] is True


@pytest.mark.parametrize("answer", [Refused(409, "stale_fence", "passed on"), Away("cut off")])
def test_a_lost_lease_interrupts_and_silences(
    performances: Performances, server: FakeServer, registry: FakeRegistry, answer: Exception
) -> None:
    server.lost = answer
    registry.activity = lambda arguments, context: context.wait(20)
    performances.perform(GUID, 7)
    assert server.reports == [] and performances.running == 0


def test_a_server_that_is_away_for_a_moment_costs_no_lease(
    performances: Performances, server: FakeServer, registry: FakeRegistry
) -> None:
    server.answers["renew"] = [Away("a moment")]

    def work(arguments: Any, context: Context) -> str:
        while server.answers["renew"]:
            context.wait(0.01)
        server.renewed.clear()
        assert server.renewed.wait(5)
        return "done"

    registry.activity = work
    performances.perform(GUID, 7)
    assert server.reports[0]["result"] == "done"


def test_an_ending_node_takes_nothing_new_and_says_what_it_broke_off(
    performances: Performances, server: FakeServer, registry: FakeRegistry
) -> None:
    begun = threading.Event()

    def work(arguments: Any, context: Context) -> None:
        begun.set()
        context.wait(60)

    registry.activity = work
    thread = threading.Thread(target=performances.perform, args=(GUID, 7))
    thread.start()
    assert begun.wait(5) and performances.running == 1
    performances.close()
    performances.perform(str(uuid.uuid4()), 1)
    assert len(server.keys) == 1
    assert not performances.wait_until_idle(0)
    performances.interrupt("the node is about to end")
    assert performances.wait_until_idle(5)
    thread.join(5)
    assert server.reports[0]["error"] == "It was interrupted: the node is about to end"
