"""botswain cluster: schedulers, their partitions, the master, and the worker nodes."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from orchestrator.cli.client import Client
from orchestrator.cli.display import (
    age,
    as_json,
    clean,
    console,
    moment,
    print_json,
    state,
    table,
    until,
)
from orchestrator.cli.drain import drain

COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "red", "bright_cyan", "bright_green")
PARTITIONS = 64


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
def cluster(ctx: click.Context, json_: bool) -> None:
    """Show the schedulers and who serves which of the 64 partitions, the master, and the worker nodes."""
    if ctx.invoked_subcommand is None:
        _show(json_)


cluster.add_command(drain)


def _show(json_: bool) -> None:
    with Client.from_environment() as client:
        found = client.get("cluster")
        workers = list(client.items("nodes", limit=500))
    if json_:
        print_json({**found, "workers": workers})
        return
    screen = console()
    screen.print(headline(found))
    screen.print(strip(found["nodes"]))
    for notice in found["notices"]:
        screen.print(warning(notice))
    if found["nodes"]:
        screen.print(_schedulers(found["nodes"]))
    if workers:
        screen.print(_workers(workers))
    if found["duties"]:
        screen.print(_duties(found["duties"]))
    if "maintenance_window" in found:  # a server of the version before does not tell
        screen.print(window_of(found["maintenance_window"]))


def headline(found: dict[str, Any]) -> str:
    """The cluster in a sentence."""
    up = sum(node["state"] == "up" for node in found["nodes"])
    master = f"master is {found['master']['node']}" if found["master"] else "there is no master"
    return f"{up} of {found['size']} schedulers up, {found['backlog']} tasks in line, {master}"


def window_of(window: dict[str, Any]) -> str:
    """The maintenance window in a sentence: until when it is open, or when it opens next."""
    opens, closes = moment(window["opens_at"]), moment(window["closes_at"])
    if window["is_open"]:
        return (
            f"the maintenance window is open until {closes}"
            if closes
            else "the maintenance window is always open"
        )
    if not opens:
        return "the maintenance window never opens"
    return f"the maintenance window opens {until(window['opens_at'])}, at {opens}, until {closes}"


def warning(notice: dict[str, Any]) -> Text:
    """A notice as a line: who says so, and what."""
    who = f"{', '.join(notice['nodes'])}: " if notice["nodes"] else ""
    return Text(clean(f"! {who}{notice['sentence']}"), "yellow")


def strip(nodes: list[dict[str, Any]]) -> Text:
    """The 64 partitions as a row of cells, each with its scheduler's number and colour; a dot has nobody."""
    owners = {number: node for node in nodes for number in node["partitions"]}
    cells = Text()
    for number in range(PARTITIONS):
        node = owners.get(number)
        if node is None:
            cells.append("·", "red")
        else:
            cells.append(str(node["cluster_id"] % 10), COLOURS[(node["cluster_id"] - 1) % len(COLOURS)])
    return cells


def _schedulers(nodes: list[dict[str, Any]]) -> Any:
    shown = table(
        "scheduler", "state", "", "partitions", "at work", "version", "host", "pid", "up for", "seen"
    )
    for node in nodes:
        shown.add_row(
            node["name"],
            state(node["state"]),
            "master" if node["is_master"] else "designated" if node["is_designated"] else "",
            str(len(node["partitions"])),
            str(len(node["batch"])),
            node["version"],
            node["host"],
            str(node["pid"]),
            age(node["started_at"]),
            f"{age(node['last_seen'])} ago",
        )
    return shown


def _workers(nodes: list[dict[str, Any]]) -> Any:
    shown = table("worker node", "state", "version", "host", "pid", "up for", "seen")
    for node in nodes:
        shown.add_row(
            node["name"],
            state(node["state"]),
            node["version"],
            node["host"],
            str(node["pid"]),
            age(node["started_at"]),
            f"{age(node['last_seen'])} ago",
        )
    return shown


def _duties(duties: list[dict[str, Any]]) -> Any:
    shown = table("duty of the master", "begun", "took", "last change", "", "next")
    for duty in duties:
        took = "at work" if duty["seconds"] is None else f"{duty['seconds']:.2f} s"
        changed = f"{age(duty['counted_at'])} ago" if duty["counted_at"] else ""
        shown.add_row(
            duty["name"],
            f"{age(duty['started_at'])} ago",
            took,
            changed,
            said_of(duty),
            until(duty["due_at"]),
        )
    return shown


def said_of(duty: dict[str, Any]) -> str:
    """How far a long run is, why the last one failed, or what the last one that did something did."""
    if duty["error"]:
        return str(duty["error"])
    if duty["progress"] and duty["seconds"] is None:
        total = duty["progress"]["total"]
        return f"{duty['progress']['done']} of {'?' if total is None else total}"
    return ", ".join(f"{count} {name}" for name, count in duty["counts"].items())
