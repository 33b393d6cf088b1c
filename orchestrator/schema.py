"""The schema as a whole: all models, bringing a database up to date, and which code runs with which schema.

The cluster is upgraded with nobody stopped: the schema first, the nodes after it, one by one. So code meets
databases of a newer revision than its own. It cannot know those; each revision therefore says in the
database, in a table that stays as it is, how old the code may be that goes on working with it.

Alembic is imported where something is migrated, and nowhere else: each node asks for a problem when it
starts, and would start a fifth of a second later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, MetaData, String, column, create_engine, inspect, select, table
from sqlalchemy.orm import Mapped, mapped_column

from orchestrator import __version__, audit, migrations, tenancy
from orchestrator.calendars import model as calendars
from orchestrator.cluster import model as cluster
from orchestrator.database import Base, UtcDateTime, advisory, engine_options, prepare
from orchestrator.jobs import model as jobs
from orchestrator.limits import model as limits
from orchestrator.processes import model as processes
from orchestrator.resources import model as resources
from orchestrator.robots import model as robots
from orchestrator.runs import model as runs
from orchestrator.sessions import model as sessions
from orchestrator.tasks import model as tasks
from orchestrator.tokens import model as tokens
from orchestrator.triggers import model as triggers

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

NOUNS = (
    tenancy,
    audit,
    calendars,
    cluster,
    jobs,
    limits,
    processes,
    resources,
    robots,
    runs,
    sessions,
    tasks,
    tokens,
    triggers,
)


class SchemaRevision(Base):
    """A migration that was applied, and the oldest revision whose code goes on working after it.

    Old code reads this of revisions that are younger than itself: it may never change.
    """

    __tablename__ = "schema_revisions"

    revision: Mapped[str] = mapped_column(String(32), primary_key=True)
    oldest_code: Mapped[str] = mapped_column(String(32))
    applied_at: Mapped[datetime] = mapped_column(UtcDateTime)


_ALEMBICS = table("alembic_version", column("version_num", String))


def metadata() -> MetaData:
    """Every table. Naming the nouns is what makes their models known."""
    return Base.metadata


def _alembic(connection: Connection | None = None) -> AlembicConfig:
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes |= {"connection": connection, "metadata": metadata()}
    return config


def migrate(engine: Engine) -> tuple[str | None, str | None]:
    """Create or upgrade the schema, once for any number of callers. Returns revisions before and after.

    A schema that is newer than this code stays as it is.
    """
    from alembic import command

    with _without_limits(engine) as patient, advisory(patient), patient.connect() as connection:
        before = _revision(connection)
        connection.rollback()
        if before is not None and before > newest():
            return before, before
        command.upgrade(_alembic(connection), "head")
        connection.commit()
        return before, _revision(connection)


@contextmanager
def _without_limits(engine: Engine) -> Iterator[Engine]:
    """The same database for statements that may take long: an index on a large table takes minutes."""
    patient = prepare(create_engine(engine.url, **engine_options(engine.url, limits=False)))
    try:
        yield patient
    finally:
        patient.dispose()


def problem(engine: Engine) -> str | None:
    """Why this code must not work with the database's schema, and what to do; None where it may."""
    own = newest()
    with engine.connect() as connection:
        theirs = _revision(connection)
        if theirs == own:
            return None
        if theirs is None:
            return "the database has no schema yet: run botswain migrate first"
        if theirs < own:
            return (
                f"the database's schema ({theirs}) is older than this version's "
                f"({__version__}, {own}): run botswain migrate of this version first"
            )
        oldest = _oldest_code(connection, theirs)
    if oldest is not None and oldest <= own:
        return None
    return (
        f"the database's schema ({theirs}) is too new for this version ({__version__}, {own}): "
        f"it goes together with code of {oldest or theirs} and newer. Start the newer version"
    )


def newest() -> str:
    """The revision of this code."""
    return migrations.newest()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_ALEMBICS.name):
        return None
    return connection.execute(select(_ALEMBICS.c.version_num)).scalar_one_or_none()


def _oldest_code(connection: Connection, revision: str) -> str | None:
    query = select(SchemaRevision.oldest_code).where(SchemaRevision.revision == revision)
    return connection.execute(query).scalar_one_or_none()
