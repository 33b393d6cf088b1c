"""The one way in which a command says no: a sentence on standard error, and exit status 1."""

from __future__ import annotations

from typing import IO, Any

import click


class Refusal(click.ClickException):
    """The command cannot do what was asked. Each line of the message is one fact."""

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.message.splitlines():
            click.echo(f"botswain: {line}", err=True)
