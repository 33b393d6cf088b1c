"""Unattended robots that are away: sessions opened when a job needs them, and how they end."""

import os
import signal
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from tests.acceptance.cluster import Problem, eventually
from tests.acceptance.workers.office import Office
from tests.servers.processes import is_alive

SUCCESS, FAILED, IN_PROGRESS = 4, 5, 8
HELLO = "import botswain\nbotswain.result({'who': botswain.arguments['who']})\n"
LONG = "import time\ntime.sleep(120)\n"


@pytest.fixture
def hello(office: Office) -> str:
    return office.cluster.api.publish(f"hello-{token_hex(3)}", HELLO)


@pytest.fixture
def long(office: Office) -> str:
    return office.cluster.api.publish(f"long-{token_hex(3)}", LONG)


def new_robot(office: Office, node: str, **fields: Any) -> str:
    name = f"Робот {token_hex(3)}"
    office.cluster.api.post("/robots", {"name": name, "node": node, **fields})
    return name


def open_one(office: Office, robot: str) -> dict[str, Any]:
    def found() -> dict[str, Any]:
        session = office.sessions(robot=robot)[-1]
        assert session["state"] == "open", session
        return session

    return eventually(found, "its session is open")


def test_a_job_brings_its_robot_to_life_and_its_end_logs_it_off(office: Office, hello: str) -> None:
    node = office.node()
    robot = new_robot(office, node.name)
    job = office.cluster.api.ask(hello, robot=robot, arguments={"who": "Ана"})
    assert office.cluster.api.until_status(job, SUCCESS)["result"] == {"who": "Ана"}
    session = eventually(
        lambda: [one for one in office.sessions(robot=robot) if one["state"] == "closed"], "it logs off"
    )[0]
    assert (session["outcome"], session["node"], session["backend"]) == (
        "logged_off",
        node.name,
        "child-process",
    )
    assert session["reason"] == "The robot logged off: there was nothing for it to do."
    assert session["opened_at"] and session["closed_at"] and session["machine"]
    assert not is_alive(session["pid"])
    # And again, in the same folder, with another GUID.
    again = office.cluster.api.ask(hello, robot=robot, arguments={"who": "Борис"})
    assert office.cluster.api.until_status(again, SUCCESS)["result"] == {"who": "Борис"}
    assert len(office.sessions(robot=robot)) == 2


def test_a_group_s_jobs_are_worked_off_in_one_session(office: Office, hello: str) -> None:
    node = office.node()
    group = f"group-{token_hex(3)}"
    robots = [new_robot(office, node.name, group=group) for _ in range(2)]
    jobs = [office.cluster.api.ask(hello, group=group, arguments={"who": str(n)}) for n in range(3)]
    for job in jobs:
        assert office.cluster.api.until_status(job, SUCCESS)["robot"] in robots


def test_a_person_closes_a_session(office: Office, long: str) -> None:
    node = office.node()
    robot = new_robot(office, node.name)
    job = office.cluster.api.ask(long, robot=robot)
    office.cluster.api.until_status(job, IN_PROGRESS)
    session = open_one(office, robot)
    closing = office.cluster.api.post(f"/sessions/{session['id']}/close")
    assert closing["state"] == "closing"
    closed = eventually(
        lambda: [one for one in office.sessions(robot=robot) if one["state"] == "closed"], "it is closed"
    )[0]
    assert closed["outcome"] == "closed" and "asked for its end" in closed["reason"]
    assert not is_alive(session["pid"])
    assert office.cluster.api.until_status(job, 7, 3, FAILED)["robot"] == robot
    with pytest.raises(Problem) as refused:
        office.cluster.api.post(f"/sessions/{session['id']}/close")
    assert refused.value.status == 409


def test_sessions_end_with_a_node_that_is_killed_and_the_robot_comes_back(
    office: Office, long: str, hello: str
) -> None:
    node = office.node()
    robot = new_robot(office, node.name)
    job = office.cluster.api.ask(long, robot=robot)
    office.cluster.api.until_status(job, IN_PROGRESS)
    pid = open_one(office, robot)["pid"]
    os.kill(node.pid, signal.SIGKILL)
    node.exit_status(10)
    eventually(lambda: not is_alive(pid), "the agent dies with its node", 10)
    again = office.cluster.api.ask(hello, robot=robot, arguments={"who": "Ана"})
    office.node(node.name)
    lost = office.cluster.api.until_status(job, FAILED, seconds=20)
    assert lost["reason"] in ("robot_lost", "robot_said_ready"), lost
    eventually(lambda: office.sessions(robot=robot)[0]["state"] == "closed", "its session is given up")
    assert office.sessions(robot=robot)[0]["outcome"] == "lapsed"
    office.cluster.api.until_status(again, SUCCESS, seconds=60)


def test_a_node_that_ends_closes_its_sessions(office: Office, long: str) -> None:
    node = office.node()
    robot = new_robot(office, node.name)
    job = office.cluster.api.ask(long, robot=robot)
    office.cluster.api.until_status(job, IN_PROGRESS)
    session = open_one(office, robot)
    node.terminate()
    assert node.exit_status(20) == 0
    assert not is_alive(session["pid"])
    ended = office.cluster.api.get(f"/sessions/{session['id']}")
    assert (ended["state"], ended["outcome"]) == ("closed", "closed")
    assert office.cluster.api.until_status(job, 7, 3, FAILED)


def test_why_a_session_could_not_be_opened_is_said(office: Office, hello: str) -> None:
    node = office.node()
    robot = new_robot(office, node.name, account="no-such-account")
    office.cluster.api.ask(hello, robot=robot, arguments={"who": "x"})
    failed = eventually(
        lambda: [one for one in office.sessions(robot=robot) if one["state"] == "closed"], "it fails"
    )[0]
    assert failed["outcome"] == "failed" and failed["account"] == "no-such-account"
    assert failed["reason"] == "There is no account 'no-such-account' on this machine."

    def failed_tasks() -> list[dict[str, Any]]:
        asked = office.cluster.api.get("/tasks", kind="open_session", node=node.name)["items"]
        return [one for one in asked if one["state"] == "failed"]

    task = eventually(failed_tasks, "the node reports its task, which it does after the session")[0]
    assert "no-such-account" in task["error"]


def test_the_session_s_guid_is_shown_to_nobody(office: Office, long: str) -> None:
    node = office.node()
    robot = new_robot(office, node.name)
    job = office.cluster.api.ask(long, robot=robot)
    office.cluster.api.until_status(job, IN_PROGRESS)
    pid = open_one(office, robot)["pid"]
    process = Path(f"/proc/{pid}")
    pairs = (process / "environ").read_text().split("\0")
    environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    guid = environment["BOTSWAIN_ROBOT_GUID"]
    assert guid not in (process / "cmdline").read_text()
    assert "BOTSWAIN_NODE_TOKEN" not in environment and "REDIS_URL" not in environment
    for child in (process / "task" / str(pid) / "children").read_text().split():
        assert guid not in Path(f"/proc/{child}/environ").read_text()
    shown = [
        str(office.cluster.api.get(path, limit=100))
        for path in ("/sessions", "/tasks", "/robots", "/jobs", "/audit", "/nodes")
    ]
    assert not any(guid in text for text in shown)
    assert not any(guid in log for log in office.cluster.logs().values())
    database = office.cluster.folder / "botswain.sqlite3"
    for ending in ("", "-wal"):
        file = database.with_name(database.name + ending)
        assert not file.exists() or guid.encode() not in file.read_bytes()
    node.terminate()
    node.exit_status(20)
