"""botswain check: everything that is wrong with the configuration, at once."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestrator.config import Config

CLOCK_SECONDS = 5.0


@click.command()
def check() -> None:
    """Say everything that is wrong with the configuration, a sentence each; exit status 1 if anything is."""
    from orchestrator.config import Config

    reading = Config.read(os.environ)
    config, found = reading.config, reading.problems()
    found += failpoint_problems(config)
    if reading.names_database():
        found += database_problems(config)
    if reading.names_redis():
        found += redis_problems(config)
    for problem in found:
        click.echo(problem)
    if found:
        sys.exit(1)
    click.echo("Nothing is wrong.", err=True)


def failpoint_problems(config: Config) -> list[str]:
    """Said each time, also where the configuration allows them; where it does not, that has been said."""
    if not config.failpoints or not config.testing:
        return []
    return [f"BOTSWAIN_FAILPOINTS is set to {config.failpoints}: this is a test's, and kills processes"]


def database_problems(config: Config) -> list[str]:
    """Whether it answers, has this version's schema, and agrees about the time."""
    from sqlalchemy import exc, select

    from orchestrator import schema
    from orchestrator.cli.database import engine_of, reason, whereabouts
    from orchestrator.cli.refusal import Refusal
    from orchestrator.database import database_time

    try:
        engine = engine_of(config)
    except Refusal as missing:
        return [missing.message]
    try:
        with engine.connect() as connection:
            theirs = connection.execute(select(database_time())).scalar_one()
        problems = clock_problems((datetime.now(UTC) - theirs).total_seconds())
        problem = schema.problem(engine)
        return [*problems, problem] if problem else problems
    except exc.DBAPIError as error:
        return [f"{whereabouts(config)} {reason(error)}"]
    finally:
        engine.dispose()


def clock_problems(ahead: float) -> list[str]:
    """`ahead`: seconds by which this machine's clock is before the database's."""
    if abs(ahead) <= CLOCK_SECONDS:
        return []
    way = "ahead of" if ahead > 0 else "behind"
    return [f"this machine's clock is {abs(ahead):.0f} s {way} the database's: set it by NTP"]


def redis_problems(config: Config) -> list[str]:
    """Whether it answers, and never throws away what it was given."""
    from redis import RedisError

    from orchestrator.cluster.surroundings import eviction
    from orchestrator.wiring import open_redis

    redis = open_redis(config)
    try:
        wrong = eviction.sentence(eviction.policy(redis))
    except RedisError as error:
        return [f"the Redis of REDIS_URL does not answer: {str(error)[:200]}"]
    finally:
        redis.close()
    return [wrong] if wrong else []
