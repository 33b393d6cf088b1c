"""The schema as a whole: all models, and bringing a database up to date."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData

from orchestrator import audit, tenancy
from orchestrator.cluster import model as cluster
from orchestrator.database import Base, advisory
from orchestrator.jobs import model as jobs
from orchestrator.processes import model as processes
from orchestrator.resources import model as resources
from orchestrator.robots import model as robots
from orchestrator.runs import model as runs
from orchestrator.sessions import model as sessions
from orchestrator.tasks import model as tasks
from orchestrator.tokens import model as tokens

NOUNS = (tenancy, audit, cluster, jobs, processes, resources, robots, runs, sessions, tasks, tokens)


def metadata() -> MetaData:
    """Every table. Naming the nouns is what makes their models known."""
    return Base.metadata


def _alembic(connection: Connection | None = None) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes |= {"connection": connection, "metadata": metadata()}
    return config


def migrate(engine: Engine) -> tuple[str | None, str | None]:
    """Create or upgrade the schema, once for any number of callers. Returns revisions before and after."""
    with advisory(engine), engine.connect() as connection:
        before = _revision(connection)
        connection.rollback()
        command.upgrade(_alembic(connection), "head")
        connection.commit()
        return before, _revision(connection)


def is_current(engine: Engine) -> bool:
    """Whether the database has the schema that this version of the code expects."""
    with engine.connect() as connection:
        return _revision(connection) == ScriptDirectory.from_config(_alembic()).get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
