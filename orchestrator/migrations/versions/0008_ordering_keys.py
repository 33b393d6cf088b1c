"""The ordering keys of tasks, which so far only chose their partitions

Revision: 0008, after: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

oldest_code = "0006"


def upgrade() -> None:
    for table in ("tasks", "past_tasks"):
        op.add_column(
            table,
            sa.Column(
                "ordering_key",
                sa.String(length=200).with_variant(
                    mysql.VARCHAR(collation="utf8mb4_bin", length=200), "mysql"
                ),
                nullable=True,
            ),
        )


def downgrade() -> None:
    for table in ("past_tasks", "tasks"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("ordering_key")
