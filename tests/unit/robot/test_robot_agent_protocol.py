"""What the agent makes of the server's answers, good and bad."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from workers.robot.protocol import READY, Offer, Place, Refused, Server, place_of
from workers.robot.transport import Answer, Transport, Unreachable

GUID = "da8bc2f0-8065-4385-b867-405e66b8e151"


class Canned(Transport):
    """A transport that gives one answer and keeps what was asked."""

    def __init__(
        self, status: int = 200, document: Mapping[str, Any] | None = None, retry_after: float | None = None
    ) -> None:
        self.answer = Answer(status, document, retry_after)
        self.asked: list[Any] = []

    def send(self, *asked: Any, **more: Any) -> Answer:
        self.asked.append(asked)
        return self.answer


def server(*answer: Any, **more: Any) -> Server:
    return Server(Canned(*answer, **more), GUID, Place("host", "10.0.0.1", "00:11"))


def asked(one: Server) -> Any:
    """The arguments of the first request."""
    assert isinstance(one.transport, Canned)
    return one.transport.asked[0]


def offered(one: Server) -> Offer:
    offer = one.consume()
    assert offer is not None
    return offer


def consumed(**fields: Any) -> Server:
    documents = {
        "Job": {"GUID": GUID},
        "ProcessVersion": {"Name": "a.py"},
        "Task": {"Parameters": 1},
        **fields,
    }
    dumped = {name: json.dumps(document) for name, document in documents.items()}
    return server(200, {"ConsumeJobErrorCode": 0, "ErrorText": "", **dumped})


def test_a_heartbeat_carries_every_field_of_the_document() -> None:
    one = server(200, {"HeartbeatErrorCode": 0, "ErrorText": "", "HasNewJob": 1})
    assert one.heartbeat(READY, wait=50).has_new_job
    method, path, form, timeout, _ = asked(one)
    assert (method, path) == ("POST", "api/robot/heartbeat") and timeout > 50
    assert form == {
        "RobotGUID": GUID,
        "Machine": "host",
        "IP": "10.0.0.1",
        "MAC": "00:11",
        "Status": "2",
        "JobGUID": "",
        "JobName": "",
        "JobType": "1",
        "Wait": "50",
    }


@pytest.mark.parametrize("key", ["Task", " Task "])
def test_the_task_is_read_with_or_without_blanks_around_its_name(key: str) -> None:
    one = server(
        200,
        {
            "ConsumeJobErrorCode": 0,
            "Job": json.dumps({"GUID": GUID}),
            "ProcessVersion": "{}",
            key: '{"a": 1}',
        },
    )
    assert offered(one).task == {"a": 1}


def test_a_task_of_null_is_empty() -> None:
    assert offered(consumed(Task=None)).task == {}


def test_no_job_after_all() -> None:
    assert server(200, {"ConsumeJobErrorCode": 102, "Job": "null"}).consume() is None


def test_a_robot_that_nobody_knows() -> None:
    with pytest.raises(Refused):
        server(200, {"ConsumeJobErrorCode": 101, "Job": "null"}).consume()


@pytest.mark.parametrize("guid", ["../../etc", "", None, "{" + GUID + "}", GUID + "/x", 7])
def test_a_job_whose_guid_could_name_another_folder_is_not_taken(guid: Any) -> None:
    with pytest.raises(Unreachable):
        consumed(Job={"GUID": guid}).consume()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 301, 302])
def test_answers_that_ask_to_come_again(status: int) -> None:
    with pytest.raises(Unreachable) as caught:
        server(status, {"ErrorText": "later"}, retry_after=7.0).update(GUID, 4)
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("status", [200, 404, 409])
def test_an_answer_that_is_not_botswains_is_no_verdict(status: int) -> None:
    with pytest.raises(Unreachable):
        server(status, None).update(GUID, 4)


@pytest.mark.parametrize(
    ("given", "read"), [(6, 6), ("6", 6), (None, None), ("x", None), (float("inf"), None)]
)
def test_a_refusal_tells_the_state_of_the_job(given: Any, read: int | None) -> None:
    with pytest.raises(Refused) as caught:
        server(409, {"status": given, "ErrorText": "not allowed"}).update(GUID, 4)
    assert (caught.value.http_status, caught.value.job_status, str(caught.value)) == (
        409,
        read,
        "not allowed",
    )


def test_a_heartbeat_answer_without_a_code_is_no_answer() -> None:
    with pytest.raises(Unreachable, match="HeartbeatErrorCode"):
        server(200, {"status": "ok"}).heartbeat(READY)


def test_the_fence_of_a_run_goes_with_its_updates() -> None:
    assert offered(consumed(Job={"GUID": GUID, "Fence": 3})).fence == 3
    assert offered(consumed()).fence is None
    one = server(200, {})
    one.update(GUID, 8, progress=0, fence=3)
    assert asked(one)[2] == {"guid": GUID, "status": "8", "progress": "0", "fence": "3"}


def test_what_no_server_stores_is_not_sent() -> None:
    one = server(200, {})
    one.update(GUID, 5, error="a\0b\ud800c" + "x" * 9000)
    error = asked(one)[2]["error"]
    assert error.startswith("a\ufffdb?c") and len(error) == 8000


def test_the_place_has_this_machines_address_towards_the_server() -> None:
    place = place_of("http://127.0.0.1:4500")
    assert place.ip == "127.0.0.1" and place.machine


def test_a_transport_knows_which_addresses_are_its_servers() -> None:
    transport = Transport("https://Host/botswain", "Basic x")
    assert transport.owns("/packages/1") and transport.owns("https://host:443/x")
    assert transport.owns("http://host/x")  # asked for by https: its proxy ends TLS and does not say so
    assert not Transport("http://host", "Basic x").owns("https://host/x")
    assert not transport.owns("http://other/x") and not transport.owns("https://other/x")
