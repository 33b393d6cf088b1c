"""What a trigger waits for, as the options of the command say it."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import trigger_kinds
from orchestrator.cli.refusal import Refusal
from orchestrator.cli.trigger_kinds import ENDS
from orchestrator.triggers.by_job_end import JobEndSettings


def kind_of(*arguments: str) -> tuple[str, dict[str, Any]]:
    found: list[tuple[str, dict[str, Any]]] = []

    @click.command()
    @trigger_kinds.options
    def command(**given: Any) -> None:
        found.append(trigger_kinds.kind_of(given))

    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return found[0]


@pytest.mark.parametrize(
    ("arguments", "kind", "settings"),
    [
        (["--cron", "0 9 * * *"], "cron", {"expression": "0 9 * * *"}),
        (["--every", "600"], "interval", {"seconds": 600}),
        (["--at", "2030-01-01T00:00:00Z"], "once", {"at": "2030-01-01T00:00:00Z"}),
        (["--queue", "q"], "queue", {"queue": "q"}),
        (["--queue", "q", "--at-least", "2"], "queue", {"queue": "q", "min_resources": 2}),
        (["--by-call"], "call", {}),
        (["--after", "p", "--state", "failed"], "job_end", {"process": "p", "states": ["Failed"]}),
    ],
)
def test_an_option_says_the_kind(arguments: list[str], kind: str, settings: dict[str, Any]) -> None:
    assert kind_of(*arguments) == (kind, settings)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--cron, --every, --at, --queue, --by-call, --after: give one of them"),
        (["--queue", "q", "--by-call"], "give one of them"),
        (["--cron", "0 9 * * *", "--at-most", "2"], "--at-most belongs to --queue: leave it out"),
        (["--queue", "q", "--state", "Success"], "--state belongs to --after: leave it out"),
        (["--after", "p", "--calls-per-minute", "2"], "--calls-per-minute belongs to --by-call"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(Refusal, match=said):
        kind_of(*arguments)


def test_a_condition_is_a_json_object() -> None:
    with pytest.raises(click.BadParameter, match="is no JSON object"):
        kind_of("--queue", "q", "--where", "region=ES")


def test_every_end_that_the_server_knows_can_be_said() -> None:
    settings = JobEndSettings.model_validate({"process": "any", "states": list(ENDS)})
    assert settings.states == list(ENDS)
