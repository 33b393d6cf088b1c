"""botswain triggers: the rules that create jobs, and what came of their due times."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli import trigger_kinds
from orchestrator.cli.client import Client
from orchestrator.cli.display import as_json, clean, console, facts, moment, print_json, state, table
from orchestrator.cli.run import Argument

TIMES = ("next_due", "last_fired_at", "created_at", "updated_at")


@click.group(invoke_without_command=True)
@click.pass_context
def triggers(ctx: click.Context) -> None:
    """List, create, try, enable, disable and delete triggers. Alone, it lists them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@triggers.command("list")
@click.option("--kind", metavar="K", help="cron, interval, once, queue, call, job_end")
@click.option("--limit", metavar="N", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json
def list_(kind: str | None = None, limit: int = 50, json_: bool = False) -> None:
    """List triggers, newest first."""
    with Client.from_environment() as client:
        found = list(client.items("triggers", limit=limit, kind=kind))
    if json_:
        print_json(found)
        return
    shown = table("trigger", "kind", "when", "process", "", "next due", "last fired")
    for one in found:
        shown.add_row(
            one["name"],
            one["kind"],
            trigger_kinds.in_words(one),
            one["process"],
            "" if one["enabled"] else "disabled",
            moment(one["next_due"]),
            moment(one["last_fired_at"]),
        )
    console().print(shown)


@triggers.command()
@click.argument("name")
@click.option("--process", metavar="P", required=True, help="the process whose jobs it creates")
@trigger_kinds.options
@click.option("--time-zone", metavar="ZONE", default="UTC", show_default=True)
@click.option("--calendar", metavar="C", help="leave out its days without work")
@click.option("--argument", "-a", "arguments", multiple=True, type=Argument(), help="for the script")
@click.option("--robot", metavar="R", help="the robot that shall do it")
@click.option("--group", metavar="G", help="any robot of this group")
@click.option("--priority", metavar="N", type=click.IntRange(0, 100), default=0)
@click.option("--missed", type=click.Choice(["skip", "once", "all"]), default="once", show_default=True)
@click.option("--overlap", type=click.Choice(["allow", "skip", "queue"]), default="allow", show_default=True)
@as_json
def create(
    name: str,
    process: str,
    time_zone: str,
    calendar: str | None,
    arguments: tuple[tuple[str, Any], ...],
    robot: str | None,
    group: str | None,
    priority: int,
    missed: str,
    overlap: str,
    json_: bool,
    **waits_for: Any,
) -> None:
    """Create a trigger: of time with --cron, --every or --at, of events with --queue, --by-call or --after.

    One by call is told its secret this once: the address to call is printed, and nothing else on standard
    output.
    """
    kind, settings = trigger_kinds.kind_of(waits_for)
    rule: dict[str, Any] = {"name": name, "process": process, "kind": kind, "settings": settings}
    rule |= {"time_zone": time_zone, "calendar": calendar, "on_missed": missed, "on_overlap": overlap}
    rule |= {"arguments": dict(arguments), "robot": robot, "group": group, "priority": priority}
    with Client.from_environment() as client:
        made = client.post("triggers", json=rule)
        address = client.address("calls", made["secret"]) if kind == "call" else ""
    if json_:
        print_json(made)
    elif address:
        _tell_address(made["name"], address)
    elif made["next_due"]:
        click.echo(f"{made['name']} is due next at {moment(made['next_due'])}")
    else:
        click.echo(clean(f"{made['name']} waits: {trigger_kinds.in_words(made)}"))


def _tell_address(name: str, address: str) -> None:
    click.echo(f"whoever posts to this address starts a job of {name}; it is shown this once:", err=True)
    click.echo(address)


@triggers.command()
@click.argument("name")
@click.option("--keep-former", metavar="SECONDS", type=click.IntRange(min=0), default=0, show_default=True)
@as_json
def secret(name: str, keep_former: int, json_: bool) -> None:
    """Give a trigger by call a new secret, and print its new address. The former one ends at once, or after
    the seconds of --keep-former."""
    with Client.from_environment() as client:
        given = client.post("triggers", name, "secret", json={"keep_former_seconds": keep_former})
        address = client.address("calls", given["secret"])
    print_json(given) if json_ else _tell_address(name, address)


@triggers.command()
@click.argument("name")
@as_json
def show(name: str, json_: bool) -> None:
    """Show one trigger."""
    with Client.from_environment() as client:
        found = client.get("triggers", name)
    if json_:
        print_json(found)
        return
    console().print(facts([(key, moment(value) if key in TIMES else value) for key, value in found.items()]))


@triggers.command()
@click.argument("name")
@click.option("--count", metavar="N", type=click.IntRange(1, 100), default=5, show_default=True)
@click.option("--fire", is_flag=True, help="fire now, whatever day it is")
@as_json
def test(name: str, count: int, fire: bool, json_: bool) -> None:
    """Say when a trigger is due next, and which days are left out. Creates nothing without --fire."""
    with Client.from_environment() as client:
        trial = client.post("triggers", name, "test", json={"count": count, "fire": fire})
    if json_:
        print_json(trial)
        return
    for due in trial["items"]:
        click.echo(due["local"] + (clean(f"  left out: {due['left_out']}") if due["left_out"] else ""))
    if trial["firing"]:
        click.echo(_outcome(trial["firing"]))


@triggers.command()
@click.argument("name")
@click.option("--state", "wanted", metavar="S", help="fired, waiting, skipped, failed")
@click.option("--limit", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True)
@as_json
def firings(name: str, wanted: str | None, limit: int, json_: bool) -> None:
    """List what came of each due time of a trigger, newest first."""
    with Client.from_environment() as client:
        found = list(client.items("triggers", name, "firings", limit=limit, state=wanted))
    if json_:
        print_json(found)
        return
    shown = table("due", "state", "for", "reason", "jobs")
    for one in found:
        reason = ": ".join(filter(None, (one["reason"], one["detail"])))
        count = str(one["due_count"])
        shown.add_row(moment(one["due_at"]), state(one["state"]), count, reason, " ".join(one["jobs"]))
    console().print(shown)


def _outcome(firing: dict[str, Any]) -> str:
    why = ": ".join(filter(None, (firing["reason"], firing["detail"])))
    return clean(" ".join(filter(None, (firing["state"], why, *firing["jobs"]))))


@triggers.command()
@click.argument("name")
@as_json
def enable(name: str, json_: bool) -> None:
    """Let a trigger fire from now on."""
    _switch(name, "enable", json_)


@triggers.command()
@click.argument("name")
@as_json
def disable(name: str, json_: bool) -> None:
    """Let a trigger fire no more; jobs that were created go on."""
    _switch(name, "disable", json_)


def _switch(name: str, order: str, json_: bool) -> None:
    with Client.from_environment() as client:
        found = client.post("triggers", name, order)
    print_json(found) if json_ else click.echo(f"{found['name']} is now {order}d")


@triggers.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete a trigger and what is known of its firings; its jobs stay."""
    with Client.from_environment() as client:
        client.delete("triggers", name)
