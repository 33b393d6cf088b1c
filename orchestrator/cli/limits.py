"""botswain semaphores and botswain limits: what runs at once, who holds what, and breakers."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.client import Client
from orchestrator.cli.display import age, as_json, console, facts, print_json, state, table

NONE = "none"


class NumberOrNone(click.ParamType[int | str]):
    """A number, or `none` to take the limit away."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == NONE or isinstance(value, int):
            return value
        if not str(value).isdigit():
            self.fail(f"{value!r} is neither a number nor «none»", param, ctx)
        return int(value)


class Need(click.ParamType[tuple[str, int]]):
    """NAME, or NAME=PERMITS."""

    name = "need"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        name, _, permits = str(value).partition("=")
        if not name or not (permits or "1").isdigit():
            self.fail(f"{value!r} is not NAME or NAME=PERMITS", param, ctx)
        return name, int(permits or 1)


@click.group(invoke_without_command=True)
@click.pass_context
def semaphores(ctx: click.Context) -> None:
    """List, create, change and delete semaphores. Alone, it lists them with who holds their permits."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@semaphores.command("list")
@as_json
def list_(json_: bool = False) -> None:
    """List semaphores and who holds their permits."""
    with Client.from_environment() as client:
        found = list(client.items("semaphores", limit=10_000))
    if json_:
        print_json(found)
        return
    shown = table("semaphore", "held", "required by", "held by", "since")
    for one in found:
        needs = ", ".join(f"{name} ({count})" for name, count in one["required_by"].items())
        shown.add_row(one["name"], f"{one['held']} of {one['permits']}", needs, "", "")
        for holder in one["holders"]:
            who = f"{holder['robot'] or '?'}: {holder['job']}"
            shown.add_row("", str(holder["permits"]), "", who, f"{age(holder['taken_at'])} ago")
    console().print(shown)


@semaphores.command()
@click.argument("name")
@click.argument("permits", type=click.IntRange(0))
@click.option("--lease-seconds", metavar="S", type=click.IntRange(1), help="a run holds a permit no longer")
@as_json
def create(name: str, permits: int, lease_seconds: int | None, json_: bool) -> None:
    """Create a semaphore of PERMITS at once."""
    new = {"name": name, "permits": permits, "lease_seconds": lease_seconds}
    with Client.from_environment() as client:
        made = client.post("semaphores", json=new)
    _show(made, f"{name}: {permits} at once", json_)


@semaphores.command("set")
@click.argument("name")
@click.argument("permits", type=click.IntRange(0))
@as_json
def set_(name: str, permits: int, json_: bool) -> None:
    """Give a semaphore another number of PERMITS. Fewer throw nobody out."""
    with Client.from_environment() as client:
        changed = client.patch("semaphores", name, json={"permits": permits})
    _show(changed, f"{name}: {permits} at once, {changed['held']} held now", json_)


@semaphores.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete a semaphore that no process requires."""
    with Client.from_environment() as client:
        client.delete("semaphores", name)


@click.group()
def limits() -> None:
    """Say and change how many runs of a process, or of the whole tenant, may go on at once."""


@limits.command()
@click.argument("process", required=False)
@as_json
def show(process: str | None, json_: bool) -> None:
    """Show the limits of PROCESS, or of the tenant."""
    with Client.from_environment() as client:
        found = client.get(*_path(process))
    if json_:
        print_json(found)
        return
    breaker = found.pop("breaker", None)
    if breaker is not None:
        found["breaker"] = state(breaker["state"])
        found |= {f"breaker {name}": breaker[name] for name in ("reason", "opened_at", "trial_at")}
    needs = found.pop("semaphores", None)
    if needs:
        found["semaphores"] = ", ".join(f"{name} ({count})" for name, count in needs.items())
    console().print(facts(list(found.items())))


@limits.command()
@click.argument("process", required=False)
@click.option("--at-once", metavar="N", type=NumberOrNone(), help="runs at once, or none for any number")
@click.option("--semaphore", "needs", metavar="NAME[=PERMITS]", multiple=True, type=Need())
@click.option("--no-semaphores", is_flag=True, help="require none any more")
@click.option("--failures", metavar="N", type=click.IntRange(1), help="so many failed runs …")
@click.option("--within", metavar="S", type=click.IntRange(1), help="… in so many seconds stop the starts")
@click.option("--cool-down", metavar="S", type=click.IntRange(1), help="then one run may try")
@click.option("--no-breaker", is_flag=True, help="no breaker any more")
@as_json
def change(
    process: str | None,
    at_once: Any,
    needs: tuple[tuple[str, int], ...],
    no_semaphores: bool,
    failures: int | None,
    within: int | None,
    cool_down: int | None,
    no_breaker: bool,
    json_: bool,
) -> None:
    """Change the limits of PROCESS, or of the tenant, which knows --at-once only."""
    if (failures is None) != (within is None) or (cool_down is not None and failures is None):
        raise click.UsageError("a breaker needs --failures and --within; --cool-down is theirs")
    wanted: dict[str, Any] = {}
    if at_once is not None:
        wanted["max_concurrent"] = None if at_once == NONE else at_once
    if needs or no_semaphores:
        wanted["semaphores"] = dict(needs)
    if no_breaker:
        wanted["breaker"] = None
    if failures is not None:
        breaker = {"failures": failures, "within_seconds": within, "cooldown_seconds": cool_down}
        wanted["breaker"] = breaker
    with Client.from_environment() as client:
        changed = client.patch(*_path(process), json=wanted)
    _show(changed, "changed", json_)


@limits.command("close-breaker")
@click.argument("process")
@as_json
def close_breaker(process: str, json_: bool) -> None:
    """Let the jobs of PROCESS begin again."""
    with Client.from_environment() as client:
        closed = client.post("processes", process, "breaker", "close")
    _show(closed, f"{process}: its jobs may begin", json_)


def _path(process: str | None) -> tuple[str, ...]:
    return ("processes", process, "limits") if process else ("limits",)


def _show(document: dict[str, Any], sentence: str, json_: bool) -> None:
    if json_:
        print_json(document)
    else:
        click.echo(sentence)
