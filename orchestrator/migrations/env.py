"""Run by Alembic, on the connection that `orchestrator.schema` hands it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.runtime.migration import MigrationInfo

from orchestrator.database import UtcDateTime

_REVISIONS = sa.table(
    "schema_revisions",
    sa.column("revision"),
    sa.column("oldest_code"),
    sa.column("applied_at", UtcDateTime),
)


def note(*, step: MigrationInfo, **_: Any) -> None:
    """In the migration's own transaction: nodes of the version before ask for this at their next start."""
    oldest = getattr(context.script.get_revision(str(step.up_revision_id)).module, "oldest_code", None)
    if not step.is_upgrade or oldest is None:
        return
    connection.execute(sa.delete(_REVISIONS).where(_REVISIONS.c.revision == step.up_revision_id))
    row = {"revision": step.up_revision_id, "oldest_code": oldest, "applied_at": datetime.now(UTC)}
    connection.execute(sa.insert(_REVISIONS), row)


connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=context.config.attributes["metadata"],
    compare_type=True,
    render_as_batch=connection.dialect.name == "sqlite",
    transaction_per_migration=True,
    on_version_apply=note,  # type: ignore[arg-type]
)
with context.begin_transaction():
    context.run_migrations()
