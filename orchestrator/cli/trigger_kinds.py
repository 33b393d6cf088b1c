"""What a trigger waits for, as options say it: one of them names the kind, the others are settings of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from orchestrator.cli.display import moment
from orchestrator.cli.refusal import Refusal

# By the option's name: the kind that it says, and which of its settings it is. A call has no such setting.
KINDS = {
    "cron": ("cron", "expression"),
    "every": ("interval", "seconds"),
    "at": ("once", "at"),
    "queue": ("queue", "queue"),
    "by_call": ("call", None),
    "after": ("job_end", "process"),
}
MORE = {
    "at_least": ("queue", "min_resources"),
    "at_most": ("queue", "max_jobs"),
    "max_age": ("queue", "max_age_seconds"),
    "where": ("queue", "where"),
    "calls_per_minute": ("call", "calls_per_minute"),
    "state": ("job_end", "states"),
}
ENDS = ("Success", "Failed", "Stopped", "Aborted")


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            found = None
        if not isinstance(found, dict):
            self.fail(f"""{value!r} is no JSON object, like '{{"parameters.region": "ES"}}'""", param, ctx)
        return found


_OPTIONS = (
    click.option("--cron", metavar="EXPRESSION", help="five fields of local time, like '30 6 * * 1-5'"),
    click.option("--every", metavar="SECONDS", type=click.IntRange(min=1), help="of elapsed time"),
    click.option("--at", metavar="TIME", help="once, like 2026-03-01T09:30:00+01:00"),
    click.option("--queue", metavar="Q", help="as soon as this queue holds enough"),
    click.option(
        "--at-least", metavar="N", type=click.IntRange(min=1), help="with --queue: a job for so many"
    ),
    click.option(
        "--at-most", metavar="M", type=click.IntRange(min=1), help="with --queue: so many jobs at once"
    ),
    click.option(
        "--max-age",
        metavar="SECONDS",
        type=click.IntRange(min=1),
        help="with --queue: for fewer too, once the oldest has waited so long",
    ),
    click.option("--where", metavar="JSON", type=JsonObject(), help="with --queue: only what fits"),
    click.option("--by-call", is_flag=True, help="whenever its address is called, which is shown once"),
    click.option(
        "--calls-per-minute", metavar="N", type=click.IntRange(min=1), help="with --by-call: not more"
    ),
    click.option("--after", metavar="P", help="whenever a job of this other process has ended"),
    click.option(
        "--state",
        metavar="S",
        multiple=True,
        type=click.Choice(ENDS, case_sensitive=False),
        help="with --after: how it ended, any number of times [default: Success]",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what a trigger waits for, in the order of this file."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def kind_of(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind and its settings, of the options by name. What was left out is None, False or empty."""
    said = [name for name in KINDS if given[name]]
    if len(said) != 1:
        raise Refusal(f"{', '.join(_written(name) for name in KINDS)}: give one of them")
    kind, setting = KINDS[said[0]]
    settings = {} if setting is None else {setting: given[said[0]]}
    for name, (owner, setting) in MORE.items():
        if not given[name]:
            continue
        if owner != kind:
            theirs = next(first for first, (other, _) in KINDS.items() if other == owner)
            raise Refusal(f"{_written(name)} belongs to {_written(theirs)}: leave it out")
        settings[setting] = list(given[name]) if name == "state" else given[name]
    return kind, settings


def _written(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def in_words(trigger: Mapping[str, Any]) -> str:
    """What a trigger waits for, in few words."""
    settings = trigger["settings"]
    match trigger["kind"]:
        case "cron":
            return f"{settings['expression']} {trigger['time_zone']}"
        case "interval":
            return f"each {settings['seconds']} s"
        case "once":
            return moment(settings["at"])
        case "queue":
            return f"queue {settings['queue']}"
        case "job_end":
            return f"after {settings['process']}"
        case _:
            return "when called"
