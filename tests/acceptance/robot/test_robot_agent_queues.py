"""Queues in a script's hands: a real agent, its broker, and a server with resources in memory."""

import socket
from pathlib import Path

import pytest

from tests.acceptance.robot.conftest import FakeServer, StartAgent
from tests.acceptance.robot.fake_queues import MakeQueues

LOOP = """
from botswain import queue, result, BusinessError
seen = []
for item in queue("invoices").take(where={"tags": {"any": ["a"]}}):
    with item:
        seen.append([item.value, item.parameters, item.tags, item.priority, item.attempt])
        if item.value == "bad":
            raise BusinessError("no supplier")
        if item.value == "bug":
            raise KeyError("vat")
        if item.value == "later":
            item.postpone(60)
        if item.value == "told":
            item.set(value="changed")
            item.finish({"sum": item.value})
result(seen)
"""


def test_a_loop_with_blocks_says_how_each_item_ended(
    server: FakeServer, start: StartAgent, queues: MakeQueues, basic: str, guid: str, work: Path
) -> None:
    robin = queues("good", "bad", "bug", "later", "told")
    job = server.add(LOOP)
    start("--once").ends()
    assert job.status == 4, job.fields
    assert job.result == [
        [value, {"n": number}, ["a"], 5, 1]
        for number, value in enumerate(["good", "bad", "bug", "later", "told"], start=1)
    ]
    error = {"status": "Error", "error_kind": "application", "error": "KeyError: 'vat'", "fence": 13}
    assert robin.said("finish") == {
        "r1": {"status": "Processed", "result": None, "fence": 11},
        "r2": {"status": "Error", "error_kind": "business", "error": "no supplier", "fence": 12},
        "r3": error,
        "r5": {"status": "Processed", "result": {"sum": "changed"}, "fence": 15},
    }
    assert robin.said("postpone") == {"r4": {"for_seconds": 60, "fence": 14}}
    (change,) = [request for request in robin.requests if request["method"] == "PATCH"]
    assert (change["query"], change["body"]) == ({"fence": ["15"]}, {"value": "changed"})
    for request in robin.requests:
        assert request["headers"]["Authorization"] == basic
        assert request["headers"]["Botswain-Run"] == job.guid
    takes = [request for request in robin.requests if request["path"].endswith("/take")]
    assert takes[0]["body"] == {"where": {"tags": {"any": ["a"]}}, "lock": "read", "wait_seconds": 0}
    keys = [r["headers"]["Idempotency-Key"] for r in robin.requests if r["method"] == "POST"]
    assert len(set(keys)) == len(keys)
    assert "KeyError: 'vat'" in (work / "runs" / job.guid / "stderr.txt").read_text()
    written = [path.read_bytes().lower() for path in work.rglob("*") if path.is_file()]
    assert not any(guid.encode() in content for content in written)


def test_a_plain_loop_finishes_what_it_leaves_behind_and_not_what_breaks_it(
    server: FakeServer, start: StartAgent, queues: MakeQueues
) -> None:
    robin = queues(1, 2, 3)
    job = server.add(
        "from botswain import queue\nfor item in queue('q').take():\n    if item.value == 3: raise ValueError"
    )
    start("--once").ends()
    assert job.status == 5
    assert list(robin.said("finish")) == ["r1", "r2"]


def test_a_script_that_fails_every_item_is_stopped_before_it_spoils_the_queue(
    server: FakeServer, start: StartAgent, queues: MakeQueues, work: Path
) -> None:
    robin = queues(*range(15))
    job = server.add("from botswain import queue\nfor item in queue('q').take():\n    with item: 1 / 0")
    start("--once").ends()
    assert job.status == 5
    said = robin.said("finish")
    assert list(said) == [f"r{number}" for number in range(1, 11)]
    assert {one["error"] for one in said.values()} == {"ZeroDivisionError: division by zero"}
    assert len(robin.waiting) == 5
    assert "TooManyFailures: 10 in a row failed" in job.fields["error"]


def test_a_soft_stop_ends_the_wait_and_the_loop(
    server: FakeServer, start: StartAgent, queues: MakeQueues
) -> None:
    robin = queues("one")
    job = server.add(
        "from botswain import queue\nfor item in queue('q').take(wait=300):\n    with item: print(item.value)"
    )
    agent = start("--once")
    assert robin.asked.wait(20)
    assert robin.requests[-1]["body"]["wait_seconds"] == pytest.approx(50)
    server.order(job, 6)
    assert robin.was_left.wait(10)  # nothing is given to one who is not there any more
    server.until(lambda: job.status == 7, 10)
    assert list(robin.said("finish")) == ["r1"]
    agent.ends()


def test_a_server_that_is_away_is_asked_again_with_the_same_key(
    server: FakeServer, start: StartAgent, queues: MakeQueues
) -> None:
    robin = queues("one")
    robin.fault = lambda request: (503, {"detail": "away"}) if len(robin.requests) in (1, 3) else None
    job = server.add("from botswain import queue\nfor item in queue('q').take():\n    with item: pass")
    start("--once").ends()
    assert job.status == 4
    keys = [request["headers"]["Idempotency-Key"] for request in robin.requests]
    assert keys[0] == keys[1] and keys[2] == keys[3] and len(set(keys)) == 3


def test_a_refusal_is_an_exception_that_names_its_code(
    server: FakeServer, start: StartAgent, queues: MakeQueues
) -> None:
    robin = queues("one")
    problem = {"title": "t", "detail": "The lock has passed on.", "code": "stale_fence", "status": 409}
    robin.fault = lambda request: (409, problem) if request["path"].endswith("finish") else None
    job = server.add(
        "from botswain import queue, result, Refused\n"
        "try:\n    for item in queue('q').take():\n        with item: pass\n"
        "except Refused as no:\n    result([no.status, no.code, str(no)])\n"
    )
    start("--once").ends()
    assert job.result == [409, "stale_fence", "The lock has passed on."]


def test_adding(server: FakeServer, start: StartAgent, queues: MakeQueues) -> None:
    robin = queues()
    job = server.add(
        "import datetime\nfrom botswain import queue, result\n"
        "noon = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.timezone.utc)\n"
        "one = queue('Счёт 1').add(7, reference='x', deadline=noon)\n"
        "result([one, queue('q').add_many({'value': n} for n in range(1001))])"
    )
    start("--once").ends()
    assert (job.result[0], len(job.result[1])) == ("n0", 1001)
    first, *more = [request["body"] for request in robin.requests]
    assert first == {"value": 7, "reference": "x", "deadline": "2030-01-01T12:00:00+00:00"}
    assert [len(body) for body in more] == [1000, 1]


DOOR = """
import http.client, json, os, pathlib, stat
from botswain import result
folder = pathlib.Path(os.environ["BOTSWAIN_RUN_FOLDER"])
door = json.loads((folder / "broker.json").read_text())
def ask(method, path, token=door["token"], headers={}, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", door["port"], timeout=20)
    connection.request(method, path, body, {"Authorization": "Bearer " + token, **headers})
    return connection.getresponse().status
result({
    "mode": stat.S_IMODE((folder / "broker.json").stat().st_mode),
    "no token": ask("POST", "/api/v1/queues/q/take", token=""),
    "wrong token": ask("POST", "/api/v1/queues/q/take", token=door["token"][:-1] + "é"),
    "elsewhere": ask("PUT", "/api/job/update"),
    "too large": ask("POST", "/api/v1/queues/q/take", headers={"Content-Length": str(9 << 20)}),
    "unsized": ask("POST", "/api/v1/queues/q/take", headers={"Transfer-Encoding": "chunked"}),
    "port": door["port"],
    "secrets": [v for v in os.environ.values() if "da8bc2f0" in v.lower()],
})
"""


def test_the_door_opens_to_the_token_alone_and_closes_with_the_run(
    server: FakeServer, start: StartAgent, queues: MakeQueues, work: Path
) -> None:
    robin = queues()
    job = server.add(DOOR)
    agent = start()
    server.until(lambda: job.status == 4)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", job.result["port"]), 2)
    del job.result["port"]
    assert {**job.result, "port": 0} == {
        "mode": 0o600,
        "no token": 401,
        "wrong token": 401,
        "elsewhere": 403,
        "too large": 413,
        "unsized": 411,
        "port": 0,
        "secrets": [],
    }
    assert not (work / "runs" / job.guid / "broker.json").exists()
    assert robin.requests == []
    agent.kill()
