"""The command `botswain`: one file a command, and nothing imported that the command at hand does not need."""

from __future__ import annotations


def main() -> None:
    """The entry point. Ends the process with the command's exit status."""
    from orchestrator.cli.command_line import run

    run()
