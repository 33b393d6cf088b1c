"""The first schema, its 64 partitions and the default tenant

Revision: 0001, after: none
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from orchestrator.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
    )
    op.create_index("ix_api_tokens_tenant_id", "api_tokens", ["tenant_id", "id"], unique=False)

    op.create_table(
        "audit",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_tenant_id_id", "audit", ["tenant_id", "id"], unique=False)

    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "key",
            sa.String(length=255).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=255), "mysql"),
            nullable=False,
        ),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_index(
        "uq_idempotency_keys_tenant_id_key", "idempotency_keys", ["tenant_id", "key"], unique=True
    )

    op.create_table(
        "job_history",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job_history")),
    )
    op.create_index("ix_job_history_job_id", "job_history", ["job_id", "id"], unique=False)

    op.create_table(
        "jobs",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("guid", name=op.f("uq_jobs_guid")),
    )
    op.create_index(
        "ix_jobs_line", "jobs", ["tenant_id", "status", "target", "robot_id", "rank", "id"], unique=False
    )
    op.create_index("ix_jobs_robot", "jobs", ["robot_id", "status"], unique=False)
    op.create_index("ix_jobs_status_lease_until", "jobs", ["status", "lease_until"], unique=False)
    op.create_index("ix_jobs_tenant_id_process_id", "jobs", ["tenant_id", "process_id", "id"], unique=False)
    op.create_index("ix_jobs_tenant_id_status", "jobs", ["tenant_id", "status", "id"], unique=False)

    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column(
            "holder",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("cluster_id", sa.Integer(), nullable=False),
        sa.Column("cluster_size", sa.Integer(), nullable=False),
        sa.Column("incarnation", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("working_path", sa.String(length=1000), nullable=False),
        sa.Column("capabilities", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("is_draining", sa.Boolean(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen", UtcDateTime(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
        sa.UniqueConstraint("name", name=op.f("uq_nodes_name")),
    )
    op.create_index("ix_nodes_kind_lease_until", "nodes", ["kind", "lease_until"], unique=False)

    op.create_table(
        "package_chunks",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("package_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql"), nullable=False),
        sa.PrimaryKeyConstraint("package_id", "number", name=op.f("pk_package_chunks")),
    )
    op.create_table(
        "packages",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packages")),
    )
    op.create_index("uq_packages_tenant_id_sha256", "packages", ["tenant_id", "sha256"], unique=True)

    op.create_table(
        "partitions",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "owner",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("scheduler_rewind", sa.BigInteger(), nullable=True),
        sa.Column("worker_rewind", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partitions")),
    )
    op.create_table(
        "process_versions",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column("process_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("entry", sa.String(length=255), nullable=False),
        sa.Column("package_id", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_process_versions")),
        sa.UniqueConstraint("public_id", name=op.f("uq_process_versions_public_id")),
    )
    op.create_index(
        "uq_process_versions_process_id_version", "process_versions", ["process_id", "version"], unique=True
    )

    op.create_table(
        "processes",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("newest_version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
        sa.UniqueConstraint("public_id", name=op.f("uq_processes_public_id")),
    )
    op.create_index("uq_processes_tenant_id_name", "processes", ["tenant_id", "name"], unique=True)

    op.create_table(
        "queues",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("json_schema", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("on_duplicate", sa.String(length=10), nullable=False),
        sa.Column("on_lost", sa.String(length=10), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("retry_application_errors", sa.Boolean(), nullable=False),
        sa.Column("retry_business_errors", sa.Boolean(), nullable=False),
        sa.Column("retry_delay_seconds", sa.Integer(), nullable=False),
        sa.Column("retry_backoff", sa.Double(), nullable=False),
        sa.Column("abandon_new_minutes", sa.Integer(), nullable=True),
        sa.Column("abandon_in_progress_minutes", sa.Integer(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queues")),
        sa.UniqueConstraint("public_id", name=op.f("uq_queues_public_id")),
    )
    op.create_index("uq_queues_tenant_id_name", "queues", ["tenant_id", "name"], unique=True)

    op.create_table(
        "resource_history",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("resource_id", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resource_history")),
    )
    op.create_index(
        "ix_resource_history_resource_id", "resource_history", ["resource_id", "id"], unique=False
    )

    op.create_table(
        "resource_terms",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("resource_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("term", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("queue_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("is_postponed", sa.Boolean(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "term", name=op.f("pk_resource_terms")),
    )
    op.create_index(
        "ix_resource_terms_line",
        "resource_terms",
        ["queue_id", "term", "status", "is_postponed", "rank", "resource_id"],
        unique=False,
    )

    op.create_table(
        "resources",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resources")),
        sa.UniqueConstraint("public_id", name=op.f("uq_resources_public_id")),
    )
    op.create_index("ix_resources_deadline", "resources", ["is_overdue", "deadline"], unique=False)
    op.create_index(
        "ix_resources_line", "resources", ["queue_id", "status", "is_postponed", "rank", "id"], unique=False
    )
    op.create_index(
        "ix_resources_postpone_until", "resources", ["is_postponed", "postpone_until"], unique=False
    )
    op.create_index("ix_resources_read_run_id", "resources", ["read_run_id"], unique=False)
    op.create_index("ix_resources_read_until", "resources", ["read_until"], unique=False)
    op.create_index("ix_resources_taken_by", "resources", ["taken_by"], unique=False)
    op.create_index(
        "ix_resources_tenant_id_queue_id", "resources", ["tenant_id", "queue_id", "id"], unique=False
    )
    op.create_index("ix_resources_write_run_id", "resources", ["write_run_id"], unique=False)
    op.create_index("ix_resources_write_until", "resources", ["write_until"], unique=False)
    op.create_index("uq_resources_queue_id_reference", "resources", ["queue_id", "reference"], unique=True)

    op.create_table(
        "robot_groups",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robot_groups")),
    )
    op.create_index("uq_robot_groups_tenant_id_name", "robot_groups", ["tenant_id", "name"], unique=True)

    op.create_table(
        "robots",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("group_id", sa.BigInteger(), nullable=True),
        sa.Column("guid_digest", sa.String(length=64), nullable=True),
        sa.Column("secret_digest", sa.String(length=64), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("ip", sa.String(length=64), nullable=False),
        sa.Column("mac", sa.String(length=64), nullable=False),
        sa.Column(
            "node",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("account", sa.String(length=120), nullable=False),
        sa.Column("last_seen", UtcDateTime(), nullable=True),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_robots")),
        sa.UniqueConstraint("guid_digest", name=op.f("uq_robots_guid_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_robots_public_id")),
    )
    op.create_index("ix_robots_status_last_seen", "robots", ["status", "last_seen"], unique=False)
    op.create_index("ix_robots_tenant_id_group_id", "robots", ["tenant_id", "group_id"], unique=False)
    op.create_index("uq_robots_tenant_id_name", "robots", ["tenant_id", "name"], unique=True)

    op.create_table(
        "runs",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("job_guid", sa.String(length=36), nullable=False),
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("uses_resources", sa.Boolean(), nullable=False),
        sa.Column("consumed_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_job_id_robot_id", "runs", ["job_id", "robot_id"], unique=False)
    op.create_index("ix_runs_robot_id_ended_at", "runs", ["robot_id", "ended_at"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("public_id", sa.String(length=36), nullable=False),
        sa.Column("robot_id", sa.BigInteger(), nullable=False),
        sa.Column("guid_digest", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column(
            "node",
            sa.String(length=120).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=120), "mysql"),
            nullable=False,
        ),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("account", sa.String(length=120), nullable=False),
        sa.Column("backend", sa.String(length=40), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("asked_at", UtcDateTime(), nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=True),
        sa.Column("last_seen", UtcDateTime(), nullable=True),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("guid_digest", name=op.f("uq_sessions_guid_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_sessions_public_id")),
    )
    op.create_index("ix_sessions_robot_id_state", "sessions", ["robot_id", "state"], unique=False)
    op.create_index("ix_sessions_state_node", "sessions", ["state", "node"], unique=False)
    op.create_index("ix_sessions_tenant_id", "sessions", ["tenant_id", "id"], unique=False)

    op.create_table(
        "tasks",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("guid", name=op.f("uq_tasks_guid")),
    )
    op.create_index("ix_tasks_line", "tasks", ["partition", "lane", "status", "position"], unique=False)
    op.create_index("ix_tasks_status_lease_until", "tasks", ["status", "lease_until"], unique=False)
    op.create_index("ix_tasks_status_not_before", "tasks", ["status", "not_before"], unique=False)
    op.create_index("ix_tasks_subject", "tasks", ["kind", "subject_id"], unique=False)
    op.create_index("ix_tasks_tenant_id_status", "tasks", ["tenant_id", "status", "id"], unique=False)

    op.create_table(
        "tenants",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(mysql.VARCHAR(collation="utf8mb4_bin", length=100), "mysql"),
            nullable=False,
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "waits",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("queue_id", sa.BigInteger(), nullable=True),
        sa.Column("resource_id", sa.BigInteger(), nullable=True),
        sa.Column("condition", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("modes", sa.String(length=10), nullable=False),
        sa.Column("alive_until", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waits")),
    )
    op.create_index("ix_waits_alive_until", "waits", ["alive_until"], unique=False)
    op.create_index("ix_waits_queue_id", "waits", ["queue_id", "id"], unique=False)
    op.create_index("ix_waits_resource_id", "waits", ["resource_id", "id"], unique=False)
    op.create_index("ix_waits_run_id", "waits", ["run_id"], unique=False)
    _seed()


def _seed() -> None:
    partitions = sa.table("partitions", *(sa.column(name) for name in ("id", "owner", "epoch", "next_seq")))
    op.bulk_insert(partitions, [{"id": n, "owner": "", "epoch": 0, "next_seq": 1} for n in range(64)])
    tenants = sa.table("tenants", sa.column("id"), sa.column("name"), sa.column("created_at", UtcDateTime))
    op.bulk_insert(tenants, [{"id": 1, "name": "default", "created_at": datetime.now(UTC)}])
    leases = sa.table(
        "leases",
        *(sa.column(name) for name in ("name", "holder", "epoch")),
        sa.column("lease_until", UtcDateTime),
    )
    op.bulk_insert(leases, [{"name": "master", "holder": "", "epoch": 0, "lease_until": datetime.now(UTC)}])


def downgrade() -> None:
    op.drop_index("ix_waits_run_id", "waits")
    op.drop_index("ix_waits_resource_id", "waits")
    op.drop_index("ix_waits_queue_id", "waits")
    op.drop_index("ix_waits_alive_until", "waits")

    op.drop_table("waits")
    op.drop_table("tenants")
    op.drop_index("ix_tasks_tenant_id_status", "tasks")
    op.drop_index("ix_tasks_subject", "tasks")
    op.drop_index("ix_tasks_status_not_before", "tasks")
    op.drop_index("ix_tasks_status_lease_until", "tasks")
    op.drop_index("ix_tasks_line", "tasks")

    op.drop_table("tasks")
    op.drop_index("ix_sessions_tenant_id", "sessions")
    op.drop_index("ix_sessions_state_node", "sessions")
    op.drop_index("ix_sessions_robot_id_state", "sessions")

    op.drop_table("sessions")
    op.drop_index("ix_runs_robot_id_ended_at", "runs")
    op.drop_index("ix_runs_job_id_robot_id", "runs")

    op.drop_table("runs")
    op.drop_index("uq_robots_tenant_id_name", "robots")
    op.drop_index("ix_robots_tenant_id_group_id", "robots")
    op.drop_index("ix_robots_status_last_seen", "robots")

    op.drop_table("robots")
    op.drop_index("uq_robot_groups_tenant_id_name", "robot_groups")

    op.drop_table("robot_groups")
    op.drop_index("uq_resources_queue_id_reference", "resources")
    op.drop_index("ix_resources_write_until", "resources")
    op.drop_index("ix_resources_write_run_id", "resources")
    op.drop_index("ix_resources_tenant_id_queue_id", "resources")
    op.drop_index("ix_resources_taken_by", "resources")
    op.drop_index("ix_resources_read_until", "resources")
    op.drop_index("ix_resources_read_run_id", "resources")
    op.drop_index("ix_resources_postpone_until", "resources")
    op.drop_index("ix_resources_line", "resources")
    op.drop_index("ix_resources_deadline", "resources")

    op.drop_table("resources")
    op.drop_index("ix_resource_terms_line", "resource_terms")

    op.drop_table("resource_terms")
    op.drop_index("ix_resource_history_resource_id", "resource_history")

    op.drop_table("resource_history")
    op.drop_index("uq_queues_tenant_id_name", "queues")

    op.drop_table("queues")
    op.drop_index("uq_processes_tenant_id_name", "processes")

    op.drop_table("processes")
    op.drop_index("uq_process_versions_process_id_version", "process_versions")

    op.drop_table("process_versions")
    op.drop_table("partitions")
    op.drop_index("uq_packages_tenant_id_sha256", "packages")

    op.drop_table("packages")
    op.drop_table("package_chunks")
    op.drop_index("ix_nodes_kind_lease_until", "nodes")

    op.drop_table("nodes")
    op.drop_table("leases")
    op.drop_index("ix_jobs_tenant_id_status", "jobs")
    op.drop_index("ix_jobs_tenant_id_process_id", "jobs")
    op.drop_index("ix_jobs_status_lease_until", "jobs")
    op.drop_index("ix_jobs_robot", "jobs")
    op.drop_index("ix_jobs_line", "jobs")

    op.drop_table("jobs")
    op.drop_index("ix_job_history_job_id", "job_history")

    op.drop_table("job_history")
    op.drop_index("uq_idempotency_keys_tenant_id_key", "idempotency_keys")
    op.drop_index("ix_idempotency_keys_created_at", "idempotency_keys")

    op.drop_table("idempotency_keys")
    op.drop_index("ix_audit_tenant_id_id", "audit")

    op.drop_table("audit")
    op.drop_index("ix_api_tokens_tenant_id", "api_tokens")

    op.drop_table("api_tokens")
