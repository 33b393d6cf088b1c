"""Activities from the API through scheduler, broker and node, and back; and what a forged message does."""

import uuid
from typing import Any

import httpx
import pytest
import redis

from tests.acceptance.cluster import eventually
from tests.acceptance.workers.office import Office


def test_tasks_are_done_fail_and_are_tried_again(office: Office) -> None:
    node = office.node()
    echo = office.task("botswain.echo", {"n": [1, "ñ", None]})
    assert office.until(echo, "succeeded")["result"] == {"n": [1, "ñ", None]}

    show = office.task("botswain.command", {"name": "show", "arguments": {"n": "№"}}, node=node.name)
    assert '"n"' in office.until(show, "succeeded")["result"]["stdout"]

    for activity, arguments, sentence in (
        ("botswain.command", {"name": "fail"}, "ended with exit code 1: out of paper"),
        ("botswain.command", {"name": "rm"}, "this node allows no command 'rm'"),
        ("botswain.sleep", {"seconds": "long"}, "seconds: "),
        ("botswain.webhook", {"url": "http://169.254.169.254/latest"}, "BOTSWAIN_WEBHOOK_ALLOW"),
        ("acme.unknown", {}, "no activity 'acme.unknown'; it has: botswain.command, botswain.echo"),
    ):
        failed = office.until(office.task(activity, arguments), "failed")
        assert sentence in failed["error"], failed

    url = f"{office.cluster.url}/healthz"
    hook = office.until(office.task("botswain.webhook", {"url": url, "method": "GET"}), "succeeded")
    assert hook["result"]["status"] == 200
    again = office.task("botswain.command", {"name": "fail"}, max_attempts=2)
    eventually(lambda: office.cluster.api.get(f"/tasks/{again}")["attempt"] == 1, "the first attempt is over")
    assert office.until(again, "failed")["attempt"] == 2


def test_a_node_is_seen_by_celery_and_by_people(office: Office) -> None:
    node = office.node()
    (seen,) = [one for one in office.cluster.api.every("/nodes") if one["name"] == node.name]
    assert seen["activities"] == ["botswain.command", "botswain.echo", "botswain.sleep", "botswain.webhook"]
    assert (seen["backends"], seen["slots"], seen["pid"]) == (["child-process"], 4, node.pid)
    hostname = office.celery_name(node.name)
    told = office.celery().control.inspect([hostname], timeout=5).active_queues()
    assert told is not None
    assert {queue["name"] for queue in told[hostname]} == {"activities", f"node.{node.name}"}


def test_forged_messages_do_nothing_and_the_node_lives(office: Office) -> None:
    node = office.node()
    queue = f"node.{node.name}"
    app = office.celery()
    sleeping = office.task("botswain.sleep", {"seconds": 30}, node=node.name)
    running = office.until(sleeping, "running")
    for arguments in (
        [str(uuid.uuid4()), 1],
        [sleeping, 1],
        [sleeping, 10**30],
        [sleeping, "1"],
        [sleeping.upper(), 1],
        ["../../tokens", 1],
        [{"guid": sleeping}, [1]],
        [],
        [sleeping],
        [sleeping, 1, 1],
        [None, None],
    ):
        app.send_task("workers.perform", args=arguments, queue=queue)
    app.send_task("workers.perform", kwargs={"guid": sleeping, "fence": 1}, queue=queue)
    app.send_task("os.system", args=["touch forged"], queue=queue)
    app.send_task("scheduler.wake", args=[[1]], queue=queue)
    app.send_task("celery.chord", args=[], queue=queue)
    app.send_task("workers.perform", args=["x", 1], queue=queue, chain=[app.signature("os.system")])
    with app.connection_for_write() as connection:
        producer = connection.Producer()
        hostile: list[Any] = [
            {"body": b"cos\nsystem\n(S'touch forged'\ntR.", "content_type": "application/x-python-serialize"},
            {"body": b"{", "content_type": "application/json"},
            {"body": "[]", "content_type": "application/json"},
            {"body": "null", "content_type": "application/json"},
        ]
        for message in hostile:
            producer.publish(
                message["body"],
                routing_key=queue,
                content_type=message["content_type"],
                content_encoding="utf-8",
                headers={"task": "workers.perform", "id": "forged"},
            )
    broker = redis.Redis.from_url(office.cluster.redis_url)
    for raw in (b"garbage", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 100_000, b'{"body": 5}'):
        broker.lpush(f"botswain:celery:{queue}", raw)
    echo = office.task("botswain.echo", {"still": "here"}, node=node.name)
    assert office.until(echo, "succeeded")["result"] == {"still": "here"}
    assert node.runs
    now = office.cluster.api.get(f"/tasks/{sleeping}")
    assert now["state"] == "running" and now["started_at"] == running["started_at"]
    assert not list(office.cluster.folder.rglob("forged"))


def test_a_node_without_its_token_or_settings_says_so_and_ends(office: Office) -> None:
    wrong = office.start_node("worker-wrong", BOTSWAIN_NODE_TOKEN="bsw_nobody")
    assert wrong.exit_status(30) == 78
    assert "botswain worker: the server refuses this node: " in wrong.output()
    mistaken = office.start_node("worker-mistaken", BOTSWAIN_WEBHOOK_ALLOW="10.0.0.0/99", BOTSWAIN_SERVER="x")
    assert mistaken.exit_status(30) == 78
    assert "BOTSWAIN_WEBHOOK_ALLOW" in mistaken.output() and "BOTSWAIN_SERVER" in mistaken.output()
    assert "Traceback" not in wrong.output() + mistaken.output()


@pytest.mark.parametrize("path", ["nodes/worker-9", "tasks/x/start", "sessions/x/opened"])
def test_only_nodes_speak_for_nodes(office: Office, path: str) -> None:
    method = "PUT" if path.startswith("nodes") else "POST"
    headers = {"Authorization": f"Bearer {office.cluster.token}"}
    answer = httpx.request(method, f"{office.cluster.url}/api/v1/{path}", json={}, headers=headers)
    assert answer.status_code == 403


def test_a_node_s_task_survives_an_empty_broker(own_office: Office) -> None:
    node = own_office.node()
    redis.Redis.from_url(own_office.cluster.redis_url).flushall()
    echo = own_office.task("botswain.echo", {"after": "flush"}, node=node.name)
    assert own_office.until(echo, "succeeded")["result"] == {"after": "flush"}
