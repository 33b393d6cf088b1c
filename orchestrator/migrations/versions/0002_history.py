"""History tables for what is finished, and how each duty fared

Revision: 0002, after: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from orchestrator.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOVED = ("audit", "job_history", "jobs", "resource_history", "resources", "runs", "tasks")


def upgrade() -> None:
    op.create_table(
        "past_audit",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_audit")),
    )
    op.create_index("ix_past_audit_at", "past_audit", ["at", "id"], unique=False)
    op.create_index("ix_past_audit_tenant_id_id", "past_audit", ["tenant_id", "id"], unique=False)
    op.create_table(
        "past_job_history",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=True),
        sa.Column("partition", sa.Integer(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_job_history")),
    )
    op.create_index("ix_past_job_history_job_id", "past_job_history", ["job_id", "id"], unique=False)
    op.create_table(
        "past_jobs",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("process_version_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.BigInteger(), nullable=True),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("on_lost", sa.String(length=10), nullable=False),
        sa.Column("max_run_seconds", sa.Integer(), nullable=True),
        sa.Column("retry_of", sa.String(length=36), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("run_until", UtcDateTime(), nullable=True),
        sa.Column("progress", sa.Integer(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("pending_at", UtcDateTime(), nullable=True),
        sa.Column("consumed_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("stop_requested_at", UtcDateTime(), nullable=True),
        sa.Column("abort_requested_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_jobs")),
        sa.UniqueConstraint("guid", name=op.f("uq_past_jobs_guid")),
    )
    op.create_index("ix_past_jobs_finished_at", "past_jobs", ["finished_at", "id"], unique=False)
    op.create_index("ix_past_jobs_robot_id", "past_jobs", ["robot_id", "id"], unique=False)
    op.create_index(
        "ix_past_jobs_tenant_id_process_id", "past_jobs", ["tenant_id", "process_id", "id"], unique=False
    )
    op.create_index("ix_past_jobs_tenant_id_status", "past_jobs", ["tenant_id", "status", "id"], unique=False)
    op.create_table(
        "past_resource_history",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("resource_id", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_resource_history")),
    )
    op.create_index(
        "ix_past_resource_history_resource_id", "past_resource_history", ["resource_id", "id"], unique=False
    )
    op.create_table(
        "past_resources",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column("queue_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "reference",
            sa.String(length=255).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=255), "mysql"),
            nullable=True,
        ),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("taken_by", sa.BigInteger(), nullable=True),
        sa.Column("progress_at", UtcDateTime(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.String(length=20), nullable=True),
        sa.Column("is_postponed", sa.Boolean(), nullable=False),
        sa.Column("postpone_until", UtcDateTime(), nullable=True),
        sa.Column("is_overdue", sa.Boolean(), nullable=False),
        sa.Column("deadline", UtcDateTime(), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("read_run_id", sa.BigInteger(), nullable=True),
        sa.Column("read_person", sa.String(length=200), nullable=True),
        sa.Column("read_until", UtcDateTime(), nullable=True),
        sa.Column("read_fence", sa.BigInteger(), nullable=False),
        sa.Column("write_run_id", sa.BigInteger(), nullable=True),
        sa.Column("write_person", sa.String(length=200), nullable=True),
        sa.Column("write_until", UtcDateTime(), nullable=True),
        sa.Column("write_fence", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_resources")),
        sa.UniqueConstraint("public_id", name=op.f("uq_past_resources_public_id")),
    )
    op.create_index(
        "ix_past_resources_queue_id_reference", "past_resources", ["queue_id", "reference"], unique=False
    )
    op.create_index(
        "ix_past_resources_tenant_id_queue_id",
        "past_resources",
        ["tenant_id", "queue_id", "id"],
        unique=False,
    )
    op.create_index("ix_past_resources_updated_at", "past_resources", ["updated_at", "id"], unique=False)
    op.create_table(
        "past_runs",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("job_guid", sa.String(length=36), nullable=False),
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("uses_resources", sa.Boolean(), nullable=False),
        sa.Column("consumed_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_runs")),
    )
    op.create_index("ix_past_runs_job_id_robot_id", "past_runs", ["job_id", "robot_id"], unique=False)
    op.create_table(
        "past_tasks",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("guid", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "activity",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column(
            "node",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column(
            "owner",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("not_before", UtcDateTime(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("moved_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_past_tasks")),
        sa.UniqueConstraint("guid", name=op.f("uq_past_tasks_guid")),
    )
    op.create_index("ix_past_tasks_finished_at", "past_tasks", ["finished_at", "id"], unique=False)
    op.create_index(
        "ix_past_tasks_tenant_id_status", "past_tasks", ["tenant_id", "status", "id"], unique=False
    )
    _never_number_twice()


def _never_number_twice() -> None:
    """SQLite gives the number of its newest row again once that row is gone, unless it is told not to."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for name in MOVED:
        with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_autoincrement": True}):
            pass


def downgrade() -> None:
    for name in MOVED:
        op.drop_table(f"past_{name}")
