"""botswain cluster drain: let a node leave, and watch it go."""

from __future__ import annotations

import time
from typing import Any

import click

from orchestrator.cli.client import Client
from orchestrator.cli.refusal import Refusal

PAUSE_SECONDS = 0.5


@click.command()
@click.argument("node")
@click.option("--no-wait", is_flag=True, help="ask only, and do not watch it leave")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default="an hour",
    help="give up watching after that; the node drains on",
)
def drain(node: str, no_wait: bool, timeout: float) -> None:
    """Let a scheduler or a worker node take nothing more, finish or give back what it has, and leave."""
    with Client.from_environment() as client:
        before = _found(client, node)
        if before is None:
            raise Refusal(f"there is no node {node!r}: see botswain cluster")
        client.post(before["kind"], node, "drain")
        if no_wait:
            click.echo(f"{node} was asked to leave", err=True)
        else:
            _watch(client, before, time.monotonic() + timeout)


def _found(client: Client, name: str) -> dict[str, Any] | None:
    """The node as it is now, with the part of the API that it belongs to as `kind`."""
    for node in client.get("cluster")["nodes"]:
        if node["name"] == name:
            return {**node, "kind": "cluster"}
    node = client.find("nodes", name)
    return None if node is None else {**node, "kind": "nodes"}


def _watch(client: Client, before: dict[str, Any], until: float) -> None:
    """Say how far it is, until its row is gone or belongs to another process."""
    name, said = before["name"], ""
    while (node := _found(client, name)) is not None and node["started_at"] == before["started_at"]:
        if node["state"] == "lost":
            raise Refusal(f"{name} fell silent while it drained: others take over when its lease ends")
        if said != (said := progress(node)):
            click.echo(said, err=True)
        if time.monotonic() >= until:
            raise Refusal(f"{name} has not left yet, and drains on")
        time.sleep(PAUSE_SECONDS)
    again = f", and was started again in version {node['version']}" if node is not None else ""
    click.echo(f"{name} has left{again}", err=True)


def progress(node: dict[str, Any]) -> str:
    """What a node still has, in a line."""
    if node["kind"] == "cluster":
        held = f"{len(node['batch'])} tasks and {len(node['partitions'])} partitions"
    else:
        held = f"{node['slots'] - node['free_slots']} activities"
    return f"{node['name']} is {node['state']}: it has {held}"
