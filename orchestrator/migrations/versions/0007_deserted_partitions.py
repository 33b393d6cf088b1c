"""How often a partition's owners have died in succession with the same task at its head

Revision: 0007, after: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

oldest_code = "0006"


def upgrade() -> None:
    op.add_column("partitions", sa.Column("deaths", sa.Integer(), server_default="0", nullable=False))
    op.add_column("partitions", sa.Column("death_position", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("partitions") as batch:
        batch.drop_column("death_position")
        batch.drop_column("deaths")
