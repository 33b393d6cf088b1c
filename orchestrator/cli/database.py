"""The database for commands that work in it directly, and what is said when it does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, exc

from orchestrator.cli.refusal import Refusal
from orchestrator.config import Config
from orchestrator.database import is_unavailable
from orchestrator.wiring import open_engine


@contextmanager
def open_database() -> Iterator[tuple[Config, Engine]]:
    """The configuration and its engine. Raises `ConfigurationError`, or `Refusal` naming the database."""
    config = Config.load()
    try:
        engine = open_engine(config)
    except ImportError as missing:
        raise Refusal(f"DATABASE_URL needs a driver that is not installed: {missing.name}") from None
    try:
        yield config, engine
    except exc.DBAPIError as error:
        raise Refusal(f"{whereabouts(config)}: {reason(error)}") from None
    finally:
        engine.dispose()


def whereabouts(config: Config) -> str:
    """The database's address without its password."""
    return f"the database {config.database_url.render_as_string(hide_password=True)}"


def reason(error: exc.DBAPIError) -> str:
    said = " ".join(str(error.orig).split())[:300]
    return f"does not answer: {said}" if is_unavailable(error) else f"refuses: {said}"
