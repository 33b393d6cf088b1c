"""botswain.echo: returns its arguments; a way to see that tasks reach a node."""

from __future__ import annotations

from typing import Any

from workers.activities.activity import Context


def echo(arguments: Any, context: Context) -> Any:
    return arguments
