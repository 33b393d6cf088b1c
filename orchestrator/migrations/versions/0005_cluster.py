"""The last run of each duty, designated masters, what schedulers find around them, and joining in turn

Revision: 0005, after: 0004
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from orchestrator.database import UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "duties",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column(
            "node",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("counted_at", UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    with op.batch_alter_table("nodes") as nodes:
        nodes.add_column(sa.Column("is_designated", sa.Boolean(), server_default=sa.false(), nullable=False))
        nodes.add_column(sa.Column("surroundings", sa.JSON(none_as_null=True), nullable=True))
    leases = sa.table(
        "leases",
        *(sa.column(name) for name in ("name", "holder", "epoch")),
        sa.column("lease_until", UtcDateTime),
    )
    op.bulk_insert(leases, [{"name": "joining", "holder": "", "epoch": 0, "lease_until": datetime.now(UTC)}])


def downgrade() -> None:
    op.execute(sa.text("DELETE FROM leases WHERE name = 'joining'"))
    with op.batch_alter_table("nodes") as nodes:
        nodes.drop_column("surroundings")
        nodes.drop_column("is_designated")
    op.drop_table("duties")
