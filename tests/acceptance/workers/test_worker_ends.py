"""How worker nodes end: by signal, Celery's shutdown, a person's drain, or killed; and their doubles."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cluster import Part, eventually
from tests.acceptance.workers.office import Office
from tests.servers.processes import family, is_alive


def running_command(office: Office, node: Part) -> tuple[str, list[int]]:
    """A long command on the node, and its processes."""
    task = office.task("botswain.command", {"name": "slow"}, node=node.name)
    began = Path(node.environment["BOTSWAIN_NODE_PATH"]) / "commands" / "slow-began"
    eventually(began.exists, "the command runs")
    began.unlink()
    return task, family(node.pid)[1:]


@pytest.mark.parametrize("how", ["SIGTERM", "control shutdown"])
def test_it_ends_cleanly_and_says_what_it_broke_off(office: Office, how: str) -> None:
    node = office.node()
    task, children = running_command(office, node)
    if how == "control shutdown":
        office.celery().control.shutdown(destination=[office.celery_name(node.name)])
    else:
        node.terminate()
    assert node.exit_status(20) == 0
    assert office.state(node.name) == ""  # it has said goodbye
    failed = office.until(task, "failed")
    assert failed["error"] == "It was interrupted: The node is about to end."
    assert not any(is_alive(pid) for pid in children)
    assert "Traceback" not in node.output(), node.tail()


def test_short_work_is_finished_first(office: Office) -> None:
    node = office.node()
    task = office.task("botswain.sleep", {"seconds": 1.5}, node=node.name)
    office.until(task, "running")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):  # somebody has no patience
        os.kill(node.pid, number)
        time.sleep(0.05)
    assert node.exit_status(20) == 0
    assert office.cluster.api.get(f"/tasks/{task}")["state"] == "succeeded"


def test_a_drained_node_finishes_what_it_has_and_takes_nothing_new(office: Office) -> None:
    node = office.node()
    task = office.task("botswain.sleep", {"seconds": 9}, node=node.name)
    office.until(task, "running")
    assert office.cluster.api.post(f"/nodes/{node.name}/drain")["state"] == "draining"
    eventually(lambda: '"draining"' in node.output(), "the order has reached it", 10)
    late = office.task("botswain.echo", {}, node=node.name)
    assert node.exit_status(40) == 0
    assert office.cluster.api.get(f"/tasks/{task}")["state"] == "succeeded"
    assert office.cluster.api.get(f"/tasks/{late}")["state"] in ("queued", "claimed")
    assert office.state(node.name) == ""
    office.node(node.name)
    office.until(late, "succeeded")


def test_what_a_killed_node_did_counts_as_a_failed_attempt(office: Office) -> None:
    node = office.node(BOTSWAIN_NODE_PATH=str(office.cluster.folder / "first-path"))
    task, children = running_command(office, node)
    node_only = node.pid
    os.kill(node_only, signal.SIGKILL)
    assert node.exit_status(10) == -signal.SIGKILL
    eventually(lambda: not any(is_alive(pid) for pid in children), "its command has died with it", 10)
    failed = office.until(task, "failed")
    assert "fell silent" in failed["error"]
    # In the same folder it knows that the one before is dead, and need not wait for its lease.
    again = office.start_node(
        node.name, "again", BOTSWAIN_NODE_PATH=str(office.cluster.folder / "first-path")
    )
    eventually(lambda: pid_of(office, node.name) == again.pid, "it has its place again", 12)


def pid_of(office: Office, name: str) -> Any:
    return next((one["pid"] for one in office.cluster.api.every("/nodes") if one["name"] == name), None)


def test_a_second_node_of_the_name_is_refused(office: Office) -> None:
    node = office.node()
    same_folder = office.start_node(node.name, "same-folder")
    other_folder = office.start_node(
        node.name, "other-folder", BOTSWAIN_NODE_PATH=str(office.cluster.folder / "other")
    )
    assert same_folder.exit_status(20) == 78
    assert "another worker node works in" in same_folder.output()
    assert other_folder.exit_status(60) == 78
    assert f"A worker node named {node.name} is already running" in other_folder.output()
    assert office.state(node.name) == "up" and pid_of(office, node.name) == node.pid


def test_the_server_away_delays_a_report_and_loses_none(own_office: Office) -> None:
    office = own_office
    node = office.node()
    task = office.task("botswain.sleep", {"seconds": 2}, node=node.name)
    office.until(task, "running")
    office.cluster.parts["api"].kill()
    eventually(lambda: "report_waits" in node.output(), "the node waits to report", 20)
    office.cluster.restart()
    ended = eventually(
        lambda: office.cluster.api.get(f"/tasks/{task}")["state"] in ("succeeded", "failed"), "it is over"
    )
    assert ended
    echo = office.task("botswain.echo", {}, node=node.name)
    office.until(echo, "succeeded")
    assert node.runs


def test_a_broker_restarted_in_mid_task_costs_nothing(own_office: Office, redis_server: Any) -> None:
    office = own_office
    node = office.node()
    task = office.task("botswain.sleep", {"seconds": 4}, node=node.name)
    office.until(task, "running")
    redis_server.restart()
    assert office.until(task, "succeeded")["attempt"] == 1
    echo = office.task("botswain.echo", {}, node=node.name)
    office.until(echo, "succeeded")
    assert node.runs
