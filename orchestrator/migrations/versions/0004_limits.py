"""Semaphores, limits of concurrency, and breakers

Revision: 0004, after: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from orchestrator.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "semaphores",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("permits", sa.Integer(), nullable=False),
        sa.Column("lease_seconds", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_semaphores")),
        sa.UniqueConstraint("public_id", name=op.f("uq_semaphores_public_id")),
    )
    op.create_index("ix_semaphores_tenant_id", "semaphores", ["tenant_id", "id"], unique=False)
    op.create_index(
        "uq_semaphores_tenant_id_kind_name", "semaphores", ["tenant_id", "kind", "name"], unique=True
    )

    op.create_table(
        "semaphore_requirements",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("semaphore_id", sa.BigInteger(), nullable=False),
        sa.Column("permits", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_semaphore_requirements")),
    )
    op.create_index(
        "ix_semaphore_requirements_semaphore_id", "semaphore_requirements", ["semaphore_id"], unique=False
    )
    op.create_index(
        "uq_semaphore_requirements_process_id",
        "semaphore_requirements",
        ["tenant_id", "process_id", "semaphore_id"],
        unique=True,
    )

    op.create_table(
        "permits",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("semaphore_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("permits", sa.Integer(), nullable=False),
        sa.Column("taken_at", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permits")),
    )
    op.create_index("ix_permits_job_id", "permits", ["job_id"], unique=False)
    op.create_index("ix_permits_lease_until", "permits", ["lease_until"], unique=False)
    op.create_index(
        "uq_permits_semaphore_id_job_id_fence", "permits", ["semaphore_id", "job_id", "fence"], unique=True
    )

    op.create_table(
        "breakers",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("within_seconds", sa.Integer(), nullable=False),
        sa.Column("cooldown_seconds", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("recent", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=True),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.Column("trial_at", UtcDateTime(), nullable=True),
        sa.Column("trial_job_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_breakers")),
        sa.UniqueConstraint("process_id", name=op.f("uq_breakers_process_id")),
    )

    op.create_table(
        "held_lines",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_held_lines")),
    )
    op.create_index(
        "uq_held_lines_process_id_target", "held_lines", ["tenant_id", "process_id", "target"], unique=True
    )

    for table in ("runs", "past_runs"):
        op.add_column(table, sa.Column("limited_process_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for table in ("past_runs", "runs"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("limited_process_id")
    op.drop_index("uq_held_lines_process_id_target", "held_lines")

    op.drop_table("held_lines")
    op.drop_table("breakers")
    op.drop_index("uq_permits_semaphore_id_job_id_fence", "permits")
    op.drop_index("ix_permits_lease_until", "permits")
    op.drop_index("ix_permits_job_id", "permits")

    op.drop_table("permits")
    op.drop_index("uq_semaphore_requirements_process_id", "semaphore_requirements")
    op.drop_index("ix_semaphore_requirements_semaphore_id", "semaphore_requirements")

    op.drop_table("semaphore_requirements")
    op.drop_index("uq_semaphores_tenant_id_kind_name", "semaphores")
    op.drop_index("ix_semaphores_tenant_id", "semaphores")

    op.drop_table("semaphores")
