"""What is known of robots that stand still, and with which versions a schema goes together

Revision: 0006, after: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator.database import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

oldest_code = "0006"


def upgrade() -> None:
    op.create_table(
        "schema_revisions",
        sa.Column("revision", sa.String(length=32), nullable=False),
        sa.Column("oldest_code", sa.String(length=32), nullable=False),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_schema_revisions")),
    )
    op.add_column("nodes", sa.Column("version", sa.String(length=40), server_default="", nullable=False))

    op.add_column("processes", sa.Column("stalled_after_seconds", sa.Integer(), nullable=True))
    op.add_column(
        "processes", sa.Column("on_stalled", sa.String(length=10), server_default="tell", nullable=False)
    )
    for table in ("jobs", "past_jobs"):
        op.add_column(table, sa.Column("stalled_after_seconds", sa.Integer(), nullable=True))
        op.add_column(table, sa.Column("on_stalled", sa.String(length=10), nullable=True))
        op.add_column(table, sa.Column("stalls_at", UtcDateTime(), nullable=True))
        op.add_column(table, sa.Column("stalled_at", UtcDateTime(), nullable=True))
    for table in ("runs", "past_runs"):
        op.add_column(table, sa.Column("touched_at", UtcDateTime(), nullable=True))

    op.add_column("robots", sa.Column("instance", sa.String(length=64), server_default="", nullable=False))
    op.add_column("robots", sa.Column("other", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("robots", sa.Column("doubled_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    for table, columns in (
        ("robots", ("doubled_at", "other", "instance")),
        ("past_runs", ("touched_at",)),
        ("runs", ("touched_at",)),
        ("past_jobs", ("stalled_at", "stalls_at", "on_stalled", "stalled_after_seconds")),
        ("jobs", ("stalled_at", "stalls_at", "on_stalled", "stalled_after_seconds")),
        ("processes", ("on_stalled", "stalled_after_seconds")),
        ("nodes", ("version",)),
    ):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)
    op.drop_table("schema_revisions")
