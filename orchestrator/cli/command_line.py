"""The commands by name, each imported when it is called: `botswain --help` takes a tenth of a second."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from orchestrator import __version__
from orchestrator.errors import BotswainError

EXIT_MISTAKE = 70  # sysexits.h: EX_SOFTWARE

# Where each is, and the line of --help, which is therefore not the docstring's first.
COMMANDS = {
    "example": ("orchestrator.cli.example:example", "start a cluster and let it work through the invoices"),
    "up": ("orchestrator.cli.up:up", "run a whole cluster on this machine"),
    "api": ("orchestrator.cli.api:api", "run the API and the console"),
    "scheduler": ("orchestrator.cli.nodes:scheduler", "run one scheduler"),
    "worker": ("orchestrator.cli.nodes:worker", "run one worker node"),
    "flower": ("orchestrator.cli.nodes:flower", "run Flower, the monitor of Celery"),
    "migrate": ("orchestrator.cli.migrate:migrate", "create or upgrade the schema"),
    "check": ("orchestrator.cli.check:check", "say everything that is wrong with the configuration"),
    "token": ("orchestrator.cli.token:token", "create API tokens"),
    "publish": ("orchestrator.cli.publish:publish", "publish a script or a folder as a new version"),
    "run": ("orchestrator.cli.run:run", "ask for a job"),
    "jobs": ("orchestrator.cli.jobs:jobs", "list, show, stop, abort, retry and explain jobs"),
    "triggers": ("orchestrator.cli.triggers:triggers", "rules that create jobs, and what came of them"),
    "calendars": ("orchestrator.cli.calendars:calendars", "days without work, which triggers leave out"),
    "semaphores": ("orchestrator.cli.limits:semaphores", "semaphores and who holds their permits"),
    "limits": ("orchestrator.cli.limits:limits", "what limits the runs of a process or of the tenant"),
    "cluster": ("orchestrator.cli.cluster:cluster", "show schedulers, worker nodes and the master"),
}


class LazyGroup(click.Group):
    """Knows its commands by name; a command's module is imported with its first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def botswain() -> None:
    """The crew chief for software robots.

    Settings of the parts come from the environment (DATABASE_URL, REDIS_URL, BOTSWAIN_SECRET_KEY, SCHEDULER_*
    …); publish, run, jobs, triggers, calendars, semaphores, limits and cluster call BOTSWAIN_SERVER with
    BOTSWAIN_TOKEN.
    """


def run(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is a sentence for people, on standard error."""
    try:
        botswain.main(args=arguments, prog_name="botswain")
    except BotswainError as error:
        for line in error.detail.splitlines():
            click.echo(f"botswain: {line}", err=True)
        sys.exit(1)
    except Exception as mistake:
        if os.environ.get("BOTSWAIN_TRACEBACK"):
            raise
        _own_up(mistake)
        sys.exit(EXIT_MISTAKE)


def _own_up(mistake: Any) -> None:
    said = str(mistake).splitlines()[0][:300] if str(mistake) else ""
    click.echo(f"botswain: this should not happen: {type(mistake).__name__}: {said}", err=True)
    click.echo("botswain: BOTSWAIN_TRACEBACK=1 shows where it happened", err=True)
