"""botswain token: API tokens for people, programs and worker nodes."""

from __future__ import annotations

import secrets

import click

PREFIX = "bsw_"  # so that it is recognised where it should not be


@click.group()
def token() -> None:
    """API tokens. The server keeps digests only, so a token is shown once."""


@token.command()
@click.option("--role", type=click.Choice(["admin", "operator", "viewer", "node"]), required=True)
@click.option("--name", metavar="N", help="whose it is, for the audit [default: the role]")
def create(role: str, name: str | None) -> None:
    """Create a token and print it, and nothing else, on standard output."""
    click.echo(accept_new(role, name or role))


def accept_new(role: str, name: str) -> str:
    """A new token, which the server accepts from now on."""
    from orchestrator.cli.database import open_database
    from orchestrator.cli.refusal import Refusal
    from orchestrator.tenancy import DEFAULT_TENANT
    from orchestrator.tokens import lifecycle
    from orchestrator.tokens.model import Role
    from orchestrator.transaction import Transaction, Transactions

    if not 1 <= len(name) <= 100:
        raise Refusal("--name: a name has 1 to 100 characters")
    made = PREFIX + secrets.token_urlsafe(32)
    with open_database() as (config, engine):

        def work(tx: Transaction) -> int:
            return lifecycle.create(tx, name, Role(role), config.digest(made))

        Transactions(engine).run(work, tenant_id=DEFAULT_TENANT)
    return made
