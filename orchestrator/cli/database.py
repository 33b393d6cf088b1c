"""The database for commands that work in it directly, and what is said when it does not answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy import Engine, create_engine, exc

from orchestrator.cli.refusal import Refusal
from orchestrator.config import Config
from orchestrator.database import engine_options, is_unavailable, prepare
from orchestrator.errors import Unavailable


@contextmanager
def open_database() -> Iterator[tuple[Config, Engine]]:
    """The configuration and its engine. Raises `ConfigurationError`, or `Refusal` naming the database."""
    # Its warnings would go to standard output; what they are about is said as a sentence.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    config = Config.load()
    engine = engine_of(config)
    try:
        yield config, engine
    except Unavailable as error:
        said = error.__cause__
        why = reason(said) if isinstance(said, exc.DBAPIError) else "does not answer"
        raise Refusal(f"{whereabouts(config)} {why}") from None
    except exc.DBAPIError as error:
        raise Refusal(f"{whereabouts(config)} {reason(error)}") from None
    finally:
        engine.dispose()


def engine_of(config: Config) -> Engine:
    """As `wiring.open_engine`, without importing Celery and Redis. Raises `Refusal` without a driver."""
    url = config.database_url
    try:
        return prepare(create_engine(url, **engine_options(url, config.db_pool_size)))
    except ImportError as missing:
        raise Refusal(f"DATABASE_URL needs a driver that is not installed: {missing.name}") from None


def whereabouts(config: Config) -> str:
    """The database's address without its password."""
    return f"the database {config.database_url.render_as_string(hide_password=True)}"


def reason(error: exc.DBAPIError) -> str:
    said = " ".join(str(error.orig).split())[:300]
    return f"does not answer: {said}" if is_unavailable(error) else f"refuses: {said}"
