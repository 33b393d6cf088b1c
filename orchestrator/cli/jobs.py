"""botswain jobs: the daily work of an operator."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.client import Client
from orchestrator.cli.display import age, as_json, clean, console, facts, moment, print_json, state, table

TIMES = ("created_at", "pending_at", "consumed_at", "started_at", "stop_requested_at", "finished_at")


@click.group(invoke_without_command=True)
@click.pass_context
def jobs(ctx: click.Context) -> None:
    """List, show, stop, abort, retry and explain jobs. Alone, it lists the newest."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@jobs.command("list")
@click.option("--state", "wanted", metavar="S", help="Created, Pending, In_Progress, Success, Failed …")
@click.option("--process", metavar="NAME")
@click.option("--robot", metavar="R")
@click.option("--group", metavar="G")
@click.option("--limit", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True)
@as_json
def list_(
    wanted: str | None = None,
    process: str | None = None,
    robot: str | None = None,
    group: str | None = None,
    limit: int = 20,
    json_: bool = False,
) -> None:
    """List jobs, newest first."""
    with Client.from_environment() as client:
        filters = {"state": wanted, "process": process, "robot": robot, "group": group}
        found = list(client.items("jobs", limit=limit, **filters))
    if json_:
        print_json(found)
        return
    shown = table("job", "process", "state", "robot", "attempt", "age", "error")
    for job in found:
        error = (job["error"] or job["reason"] or "").strip().splitlines()
        shown.add_row(
            job["guid"],
            f"{job['process']} {job['version']}",
            state(_state_of(job)),
            job["robot"] or "",
            str(job["attempt"]),
            age(job["created_at"]),
            _short(error[-1] if error else ""),
        )
    console().print(shown)


def _state_of(job: dict[str, Any]) -> str:
    running = job["state"] == "In_Progress" and job["progress"]
    return f"{job['state']} {job['progress']} %" if running else str(job["state"])


def _fact(name: str, value: Any) -> Any:
    if name == "state":
        return state(value)
    return moment(value) if name in TIMES else value


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


@jobs.command()
@click.argument("guid")
@as_json
def show(guid: str, json_: bool) -> None:
    """Show one job and its history."""
    with Client.from_environment() as client:
        job = client.get("jobs", guid)
        history = client.get("jobs", guid, "history")["items"]
    if json_:
        print_json({**job, "history": history})
        return
    screen = console()
    screen.print(facts([(name, _fact(name, value)) for name, value in job.items() if name != "status"]))
    shown = table("at", "event", "state", "attempt", "robot", "by", "reason")
    for line in history:
        shown.add_row(
            moment(line["at"]),
            line["event"],
            state(line["state"]),
            str(line["attempt"]),
            line["robot"] or "",
            line["actor"],
            _short(line["reason"] or ""),
        )
    screen.print()
    screen.print(shown)


@jobs.command()
@click.argument("guid")
@as_json
def stop(guid: str, json_: bool) -> None:
    """Let the script end cleanly; a job that still waits is cancelled."""
    _ask(guid, "stop", json_)


@jobs.command()
@click.argument("guid")
@as_json
def abort(guid: str, json_: bool) -> None:
    """Kill the script; a job that still waits is cancelled."""
    _ask(guid, "abort", json_)


@jobs.command()
@click.argument("guid")
@as_json
def retry(guid: str, json_: bool) -> None:
    """Ask for a new job like this one, and print its GUID."""
    with Client.from_environment() as client:
        job = client.post("jobs", guid, "retry")
    print_json(job) if json_ else click.echo(job["guid"])


def _ask(guid: str, order: str, json_: bool) -> None:
    with Client.from_environment() as client:
        job = client.post("jobs", guid, order)
    print_json(job) if json_ else click.echo(f"job {job['guid']} is now {job['state']}")


@jobs.command()
@click.argument("guid")
@as_json
def explain(guid: str, json_: bool) -> None:
    """Say why the job is where it is, the weightiest reason first."""
    with Client.from_environment() as client:
        found = client.get("jobs", guid, "explain")
    if json_:
        print_json(found)
        return
    console().print(state(found["state"]))
    for reason in found["reasons"]:
        click.echo(clean(f"  {reason['text']}"))
