"""botswain migrate: the schema, brought up to date."""

from __future__ import annotations

import click


@click.command()
def migrate() -> None:
    """Create or upgrade the schema of DATABASE_URL; any number of callers do it once."""
    from orchestrator import schema
    from orchestrator.cli.database import open_database
    from orchestrator.cli.refusal import Refusal

    with open_database() as (_, engine):
        before, after = schema.migrate(engine)
        problem = schema.problem(engine)
    if problem:
        raise Refusal(problem)
    if after != schema.newest():
        click.echo(f"The schema is newer ({after}), and this version works with it.", err=True)
    elif before == after:
        click.echo(f"The schema is current ({after}).", err=True)
    else:
        click.echo(f"The schema was upgraded from {before or 'nothing'} to {after}.", err=True)
