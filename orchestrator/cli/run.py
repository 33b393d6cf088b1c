"""botswain run: ask for a job, and wait for it if asked to."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import click

from orchestrator.cli.client import Client
from orchestrator.cli.display import as_json, clean, console, plain, print_json
from orchestrator.cli.refusal import Refusal

EXITS = {"Success": 0, "Failed": 3, "Stopped": 4, "Aborted": 4}
NOT_ENDED, NOT_FOLLOWED = 5, 130
POLL_SECONDS = 0.3


class Argument(click.ParamType[tuple[str, Any]]):
    """K=V; the value is JSON where it can be read as such, else text."""

    name = "K=V"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, separator, text = str(value).partition("=")
        if not separator or not name:
            self.fail(f"{value!r} is not of the form K=V", param, ctx)
        try:
            return name, json.loads(text)
        except ValueError:
            return name, text


@click.command()
@click.argument("process", metavar="NAME")
@click.option(
    "--argument", "-a", "arguments", multiple=True, type=Argument(), help="for the script; V may be JSON"
)
@click.option("--robot", metavar="R", help="the robot that shall do it")
@click.option("--group", metavar="G", help="any robot of this group")
@click.option("--version", metavar="N", type=int, help="of the process [default: the newest]")
@click.option("--priority", metavar="N", type=click.IntRange(0, 100))
@click.option("--wait", is_flag=True, help="follow the job to its end")
@click.option("--timeout", metavar="SECONDS", type=float, help="with --wait: give up following it after that")
@as_json
def run(
    process: str,
    arguments: tuple[tuple[str, Any], ...],
    robot: str | None,
    group: str | None,
    version: int | None,
    priority: int | None,
    wait: bool,
    timeout: float | None,
    json_: bool,
) -> None:
    """Ask for a job of the process NAME and print its GUID.

    With --wait the exit status is 0 only if the job ended in Success; 3 Failed, 4 Stopped or Aborted, 5 not
    ended within --timeout. 1: the server refused or does not answer.
    """
    if robot and group:
        raise Refusal("--robot and --group: give one of them, or neither for any robot")
    wishes = {"robot": robot, "group": group, "version": version, "priority": priority}
    order = {name: value for name, value in wishes.items() if value is not None}
    with Client.from_environment() as client:
        job = client.post("jobs", json={"process": process, "arguments": dict(arguments), **order})
        if wait:
            if not json_:
                click.echo(f"job {job['guid']}", err=True)
            job = follow(client, job, timeout)
    if json_:
        print_json(job)
    elif wait:
        _show_end(job)
    else:
        click.echo(job["guid"])
    if wait:
        sys.exit(EXITS.get(job["state"], NOT_ENDED))


def follow(client: Client, job: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """The job when it has ended, or when the time is up; a bar shows how far it is meanwhile."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    deadline = None if timeout is None else time.monotonic() + timeout
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console(err=True), transient=True) as bar:
            task = bar.add_task(job["state"], total=100)
            while job["state"] not in EXITS and (deadline is None or time.monotonic() < deadline):
                time.sleep(POLL_SECONDS)
                job = client.get("jobs", job["guid"])
                bar.update(task, completed=job["progress"] or 0, description=_whereabouts(job))
    except KeyboardInterrupt:
        click.echo(f"botswain: no longer followed; job {job['guid']} goes on", err=True)
        sys.exit(NOT_FOLLOWED)
    return job


def _show_end(job: dict[str, Any]) -> None:
    """The result alone on standard output, so that it can be used; what else there is to say beside it."""
    click.echo(_whereabouts(job), err=True)
    if job["error"]:
        click.echo(clean(job["error"]), err=True)
    if job["result"] is not None:
        click.echo(clean(plain(job["result"])))


def _whereabouts(job: dict[str, Any]) -> str:
    return clean(f"{job['state']} on {job['robot']}" if job["robot"] else str(job["state"]))
