"""Triggers, their firings, and calendars of days without work

Revision: 0003, after: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from orchestrator.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calendars",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("country", sa.String(length=10), nullable=True),
        sa.Column("subdivision", sa.String(length=20), nullable=True),
        sa.Column("weekdays", sa.JSON(), nullable=False),
        sa.Column("days_off", sa.JSON(), nullable=False),
        sa.Column("working_days", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendars")),
        sa.UniqueConstraint("public_id", name=op.f("uq_calendars_public_id")),
    )
    op.create_index("uq_calendars_tenant_id_name", "calendars", ["tenant_id", "name"], unique=True)

    op.create_table(
        "firings",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("trigger_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "due_key",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("due_count", sa.Integer(), nullable=False),
        sa.Column("job_count", sa.Integer(), nullable=False),
        sa.Column("arguments", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("jobs", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("fired_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firings")),
    )
    op.create_index("ix_firings_created_at", "firings", ["created_at"], unique=False)
    op.create_index("ix_firings_state", "firings", ["state", "trigger_id", "id"], unique=False)
    op.create_index("ix_firings_trigger_id", "firings", ["trigger_id", "id"], unique=False)
    op.create_index("ix_firings_trigger_id_is_open", "firings", ["trigger_id", "is_open"], unique=False)
    op.create_index("uq_firings_trigger_id_due_key", "firings", ["trigger_id", "due_key"], unique=True)

    op.create_table(
        "triggers",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("calendar_id", sa.BigInteger(), nullable=True),
        sa.Column("on_missed", sa.String(length=10), nullable=False),
        sa.Column("missed_limit", sa.Integer(), nullable=False),
        sa.Column("on_overlap", sa.String(length=10), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("on_lost", sa.String(length=10), nullable=False),
        sa.Column("max_run_seconds", sa.Integer(), nullable=True),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("next_due", UtcDateTime(), nullable=True),
        sa.Column("last_fired_at", UtcDateTime(), nullable=True),
        sa.Column("watches", sa.String(length=40), nullable=True),
        sa.Column("state", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("call_digest", sa.String(length=64), nullable=True),
        sa.Column("former_call_digest", sa.String(length=64), nullable=True),
        sa.Column("former_call_until", UtcDateTime(), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_triggers")),
        sa.UniqueConstraint("public_id", name=op.f("uq_triggers_public_id")),
    )
    op.create_index("ix_triggers_next_due", "triggers", ["next_due"], unique=False)
    op.create_index("ix_triggers_watches", "triggers", ["watches", "is_enabled"], unique=False)
    op.create_index("ix_triggers_former_call_digest", "triggers", ["former_call_digest"], unique=False)
    op.create_index("uq_triggers_call_digest", "triggers", ["call_digest"], unique=True)
    op.create_index("uq_triggers_tenant_id_name", "triggers", ["tenant_id", "name"], unique=True)


def downgrade() -> None:
    op.drop_table("triggers")
    op.drop_table("firings")
    op.drop_table("calendars")
