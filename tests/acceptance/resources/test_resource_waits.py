"""Those who wait: in order of arrival, across API processes, never for ever."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection
from secrets import token_hex
from urllib.parse import urlsplit

import pytest

from tests.acceptance.cluster import Cluster, eventually
from tests.acceptance.cluster.cluster import BOTSWAIN
from tests.acceptance.cluster.part import Part
from tests.acceptance.cluster.robot import basic
from tests.acceptance.resources.actors import Background, Person, Run, in_line, new_queue
from tests.deadlines import within
from tests.servers.ports import free_port

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def second_api(session_cluster: Cluster) -> Iterator[str]:
    """The URL of another API on the same cluster: a process of its own."""
    port = free_port()
    environment = session_cluster.environment(BOTSWAIN_PORT=str(port), BOTSWAIN_API_PROCESSES="1")
    part = Part("second-api", [BOTSWAIN, "api"], environment, session_cluster.folder).start()

    def serves() -> bool:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True

    eventually(serves, "the second API serves")
    yield f"http://127.0.0.1:{port}"
    part.kill()


@pytest.fixture(scope="module")
def crowd(session_cluster: Cluster, process: str) -> list[Run]:
    return [Run(session_cluster, process, session_cluster.new_robot()) for _ in range(4)]


def test_a_take_waits_for_a_resource_and_has_it_at_once(person: Person, one: Run, queue: str) -> None:
    assert one.take(queue, wait_seconds=0.3).status_code == 204
    took = []
    for _ in range(5):
        waiter = in_line(one, queue, lambda: one.take(queue, wait_seconds=20))
        begun = time.monotonic()
        (made,) = person.create(queue, {})
        assert waiter.result().json()["id"] == made
        took.append(time.monotonic() - begun)
    # Who has just begun to wait looks again after a second anyway: nobody would be quicker without news.
    assert min(took) < 0.7


def test_takes_are_served_in_order_of_arrival_across_api_processes(
    person: Person, one: Run, crowd: list[Run], second_api: str, queue: str
) -> None:
    calls = [crowd[0], crowd[1].through(second_api), crowd[2], crowd[3].through(second_api)]
    lines = []
    for run in calls:
        lines.append(in_line(run, queue, lambda run=run: run.take(queue, wait_seconds=55)))
    made = [person.create(queue, {"value": number})[0] for number in range(3)]
    newcomer = Background(lambda: one.take(queue, wait_seconds=1))
    assert [line.result().json()["id"] for line in lines[:3]] == made
    assert newcomer.result().status_code == 204 and lines[3].waits
    (last,) = person.create(queue, {})
    assert lines[3].result().json()["id"] == last


def test_lockers_are_served_in_order_of_arrival_across_api_processes(
    person: Person, one: Run, crowd: list[Run], second_api: str, queue: str
) -> None:
    (resource,) = person.create(queue, {})
    one.lock(resource)
    runs = [crowd[0], crowd[1].through(second_api), crowd[2], crowd[3].through(second_api)]
    lines = []
    for run in runs:
        lines.append(in_line(run, resource, lambda run=run: run.lock(resource, wait_seconds=55)))
    holder = one
    for number, run in enumerate(runs):
        assert holder.unlock(resource).status_code == 200
        assert lines[number].result().json()["locks"]["write"]["initiator"] == run.holder
        assert all(line.waits for line in lines[number + 1 :])
        holder = run
    assert holder.unlock(resource).status_code == 200


def test_who_waits_for_something_else_holds_nobody_up(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    wish = {"parameters.region": "ES"}
    picky = in_line(one, queue, lambda: one.take(queue, where=wish, wait_seconds=50))
    easy = in_line(other, queue, lambda: other.take(queue, wait_seconds=20))
    (plain,) = person.create(queue, {"parameters": {"region": "PT"}})
    assert easy.result().json()["id"] == plain
    (wanted,) = person.create(queue, {"parameters": {"region": "ES"}})
    assert picky.result().json()["id"] == wanted


def test_who_holds_a_lock_passes_those_who_wait_for_it(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    """Otherwise the two would wait for each other."""
    (resource,) = person.create(queue, {})
    one.lock(resource, "read")
    waiter = in_line(other, resource, lambda: other.lock(resource, "both", wait_seconds=50))
    assert one.lock(resource, "read", for_seconds=100, wait_seconds=1).status_code == 200
    assert one.lock(resource, "write", wait_seconds=1).status_code == 200
    assert one.change(resource, wait_seconds=1).status_code == 200
    assert one.finish(resource, wait_seconds=1).status_code == 200
    assert waiter.result().status_code == 200
    other.unlock(resource)


def test_a_reader_in_line_does_not_hold_up_a_writer(
    person: Person, one: Run, other: Run, crowd: list[Run], queue: str
) -> None:
    (resource,) = person.create(queue, {})
    one.lock(resource, "read")
    reader = in_line(other, resource, lambda: other.read(resource, wait_seconds=50))
    assert crowd[0].lock(resource, "write", wait_seconds=1).status_code == 200
    one.unlock(resource, "read")
    assert reader.result().status_code == 200
    crowd[0].unlock(resource)


def hang_up(run: Run, line: str, path: str, body: Mapping[str, object], **headers: str) -> None:
    """Ask, and be gone once there is a place in line, before there is an answer."""
    own = {
        "Authorization": basic(run.robot.guid),
        "Botswain-Run": run.job,
        "Content-Type": "application/json",
    }
    with closing(HTTPConnection(urlsplit(run.url).netloc, timeout=60)) as connection:
        connection.request("POST", f"/api/v1{path}", json.dumps(body), own | JSON | headers)
        eventually(lambda: run.has_place_in(line), "it stands in line")


def test_what_falls_to_one_who_has_hung_up_goes_to_the_next_in_line(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    key, body = {"Idempotency-Key": token_hex(8)}, {"wait_seconds": 50}
    hang_up(one, queue, f"/queues/{queue}/take", body, **key)
    behind = in_line(other, queue, lambda: other.take(queue, wait_seconds=50))
    (first,) = person.create(queue, {})
    taken = behind.result().json()
    assert (taken["id"], taken["attempt"]) == (first, 1)
    events = [(entry["event"], entry["run"]) for entry in person.history(first)]
    lost = [("take", one.job), ("undelivered", one.job)]
    assert events == [("create", None), *lost, ("take", other.job)]
    again = Background(lambda: one.send("POST", f"/queues/{queue}/take", json=body, headers=key))
    (second,) = person.create(queue, {})
    assert again.result().json()["id"] == second  # the same request, made again, is served again


def test_a_lock_that_falls_to_one_who_has_hung_up_is_lifted(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    (resource,) = person.create(queue, {})
    one.lock(resource)
    hang_up(other, resource, f"/resources/{resource}/lock", {"lock": "both", "wait_seconds": 50})
    one.unlock(resource)

    def is_free() -> bool:
        events = [entry["event"] for entry in person.history(resource)]
        return events == ["create", "lock", "unlock", "lock", "undelivered"]

    eventually(is_free, "the lock of who has hung up is lifted")
    assert person.look(resource)["locks"] == {"read": None, "write": None}


def test_who_lost_an_answer_asks_again_with_its_key_and_gets_the_same(
    person: Person, one: Run, queue: str
) -> None:
    key, body = {"Idempotency-Key": token_hex(8)}, {"wait_seconds": 20}
    first, _ = person.create(queue, {}, {})
    answers = [one.send("POST", f"/queues/{queue}/take", json=body, headers=key) for _ in range(2)]
    assert [answer.json()["id"] for answer in answers] == [first, first]


def test_who_waits_is_out_of_the_line_when_its_run_ends(
    person: Person, mortal: Run, other: Run, queue: str
) -> None:
    waiter = in_line(mortal, queue, lambda: mortal.take(queue, wait_seconds=50))
    behind = in_line(other, queue, lambda: other.take(queue, wait_seconds=50))
    mortal.end()
    (resource,) = person.create(queue, {})
    assert behind.result().json()["id"] == resource
    assert waiter.result().json()["code"] == "no_run"


def test_a_circle_of_waits_is_refused_at_once_and_named(
    person: Person, one: Run, other: Run, crowd: list[Run], queue: str
) -> None:
    first, second, third = person.create(queue, {}, {}, {})
    runs = [one, other, crowd[0]]
    for run, resource in zip(runs, (first, second, third), strict=True):
        assert run.lock(resource, "write").status_code == 200
    waits = [
        in_line(one, second, lambda: one.change(second, wait_seconds=55)),
        in_line(other, third, lambda: other.lock(third, "write", wait_seconds=55)),
    ]
    with within(2):
        answer = crowd[0].lock(first, "both", wait_seconds=25)
    body = answer.json()
    assert (answer.status_code, body["code"]) == (409, "wait_cycle"), body
    assert set(body["cycle"]) == {run.job for run in runs}
    assert all(run.job in body["detail"] for run in runs)
    assert [e["detail"]["code"] for e in person.history(first) if e["event"] == "refused"] == ["wait_cycle"]
    crowd[0].unlock(third)  # as it was told
    assert waits[1].result().status_code == 200
    other.unlock(second)
    assert waits[0].result().status_code == 200
    for run, resource in zip((one, other), (first, third), strict=True):
        run.unlock(resource)


def test_two_that_close_a_circle_at_the_same_moment_do_not_wait_on(
    person: Person, one: Run, other: Run, queue: str
) -> None:
    first, second = person.create(queue, {}, {})
    one.lock(first)
    other.lock(second)
    calls = [
        Background(lambda: one.change(second, wait_seconds=25)),
        Background(lambda: other.change(first, wait_seconds=25)),
    ]
    eventually(lambda: not all(call.waits for call in calls), "one of the two is refused", 20)
    (refused,) = [number for number, call in enumerate(calls) if not call.waits]
    assert calls[refused].result().json()["code"] == "wait_cycle"
    (one, other)[refused].unlock((first, second)[refused])
    assert calls[1 - refused].result().status_code == 200
    (other, one)[refused].unlock((second, first)[refused])


def test_a_crowd_that_waits_takes_each_resource_once(
    person: Person, one: Run, other: Run, crowd: list[Run]
) -> None:
    queue = new_queue(person)
    runs = [one, other, *crowd]
    lines = [in_line(run, queue, lambda run=run: run.take(queue, wait_seconds=50)) for run in runs]
    made = person.create(queue, *({"value": number} for number in range(len(runs))))
    assert sorted(line.result().json()["id"] for line in lines) == sorted(made)
