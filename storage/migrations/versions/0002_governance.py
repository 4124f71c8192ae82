"""Governance: principals, members, policies, reviews, cards, shared tags; history only with its event"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrate import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "daily_runs",
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("task", name=op.f("daily_runs_pk")),
    )
    op.create_table(
        "idempotent_answers",
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body_hash", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("extensions", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("actor", "key", "place", name=op.f("idempotent_answers_pk")),
    )
    op.create_index("idempotent_answers_at", "idempotent_answers", ["at"], unique=False)
    op.create_table(
        "principals",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("administers", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.CheckConstraint("id ~ '^prin_[A-Za-z0-9._-]{1,100}$'", name=op.f("principals_id_check")),
        sa.CheckConstraint("kind IN ('USER', 'SERVICE')", name=op.f("principals_kind_check")),
        sa.CheckConstraint("email = lower(email)", name=op.f("principals_email_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("principals_pk")),
        sa.UniqueConstraint("email", name=op.f("principals_email")),
    )
    op.create_table(
        "members",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("principal_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.CheckConstraint("role IN ('VIEWER', 'CONTRIBUTOR', 'REVIEWER', 'ADMIN')", name=op.f("members_role_check")),
        sa.ForeignKeyConstraint(["principal_id"], ["principals.id"], name=op.f("members_principal_id")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("members_project_id")),
        sa.PrimaryKeyConstraint("project_id", "principal_id", name=op.f("members_pk")),
    )
    op.create_index("members_of_principal", "members", ["principal_id"], unique=False)
    op.create_table(
        "project_policies",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("required_approvals", sa.Integer(), nullable=False),
        sa.Column("allow_self_approval", sa.Boolean(), nullable=False),
        sa.Column("require_complete_card", sa.Boolean(), nullable=False),
        sa.Column("block_invalid_data", sa.Boolean(), nullable=False),
        sa.Column("semver", sa.String(), nullable=False),
        sa.Column("tags", sa.String(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=True),
        sa.Column("min_metrics", sa.JSON(), nullable=False),
        sa.Column("max_regression", sa.Float(), nullable=True),
        sa.Column("approval_valid_days", sa.Integer(), nullable=False),
        sa.CheckConstraint("semver IN ('OFF', 'WARN', 'ENFORCE')", name=op.f("project_policies_semver_check")),
        sa.CheckConstraint("tags IN ('OFF', 'WARN', 'ENFORCE')", name=op.f("project_policies_tags_check")),
        sa.CheckConstraint(
            "approval_valid_days BETWEEN 1 AND 3650", name=op.f("project_policies_approval_valid_days_check")
        ),
        sa.CheckConstraint("max_regression BETWEEN 0 AND 1", name=op.f("project_policies_max_regression_check")),
        sa.CheckConstraint(
            "required_approvals BETWEEN 1 AND 10", name=op.f("project_policies_required_approvals_check")
        ),
        sa.CheckConstraint("retention_days BETWEEN 1 AND 36500", name=op.f("project_policies_retention_days_check")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("project_policies_project_id")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("project_policies_pk")),
    )
    op.create_table(
        "tag_definitions",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("deprecated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("tag_definitions_project_id")),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("tag_definitions_pk")),
    )
    op.create_table(
        "tag_aliases",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "name"],
            ["tag_definitions.project_id", "tag_definitions.name"],
            name=op.f("tag_aliases_project_id_name"),
        ),
        sa.PrimaryKeyConstraint("project_id", "alias", name=op.f("tag_aliases_pk")),
    )
    op.create_table(
        "model_card_revisions",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("changed", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("sections", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("model_card_revisions_project_id_version_id"),
        ),
        sa.PrimaryKeyConstraint("version_id", "revision", name=op.f("model_card_revisions_pk")),
    )
    op.create_table(
        "model_cards",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("intended_use", sa.String(), nullable=True),
        sa.Column("limitations", sa.String(), nullable=True),
        sa.Column("ethical_considerations", sa.String(), nullable=True),
        sa.Column("training_data_summary", sa.JSON(), nullable=True),
        sa.Column("performance_by_segment", sa.JSON(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.CheckConstraint("revision >= 1", name=op.f("model_cards_revision_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("model_cards_project_id_version_id"),
        ),
        sa.PrimaryKeyConstraint("version_id", name=op.f("model_cards_pk")),
    )
    op.create_table(
        "transition_requests",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("target_stage", sa.String(), nullable=False),
        sa.Column("stage_position", sa.BigInteger(), nullable=False),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.CheckConstraint("id ~ '^req_[A-Za-z0-9._-]{1,100}$'", name=op.f("transition_requests_id_check")),
        sa.CheckConstraint(
            "status IN ('OPEN', 'APPLIED', 'REJECTED', 'CANCELLED', 'EXPIRED')",
            name=op.f("transition_requests_status_check"),
        ),
        sa.CheckConstraint(
            "target_stage IN ('DEVELOPMENT', 'STAGING', 'PRODUCTION', 'ARCHIVED')",
            name=op.f("transition_requests_target_stage_check"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("transition_requests_project_id_version_id"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("transition_requests_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("transition_requests_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("transition_requests_in_project")),
    )
    op.create_index(
        "transition_requests_newest", "transition_requests", ["project_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "transition_requests_of_version", "transition_requests", ["version_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "transition_requests_open",
        "transition_requests",
        ["version_id"],
        unique=True,
        postgresql_where=sa.text("status = 'OPEN'"),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("target_stage", sa.String(), nullable=False),
        sa.Column("stage_position", sa.BigInteger(), nullable=False),
        sa.Column("reviewer", sa.String(), nullable=False),
        sa.Column("reviewer_id", sa.String(), nullable=False),
        sa.Column("attested_by", sa.String(), nullable=True),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("meaning", sa.String(), nullable=False),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed", sa.JSON(), nullable=False),
        sa.CheckConstraint("decision IN ('APPROVE', 'REJECT')", name=op.f("approvals_decision_check")),
        sa.CheckConstraint("id ~ '^apr_[A-Za-z0-9._-]{1,100}$'", name=op.f("approvals_id_check")),
        sa.CheckConstraint(
            "target_stage IN ('DEVELOPMENT', 'STAGING', 'PRODUCTION', 'ARCHIVED')",
            name=op.f("approvals_target_stage_check"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "request_id"],
            ["transition_requests.project_id", "transition_requests.id"],
            name=op.f("approvals_project_id_request_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("approvals_project_id_version_id"),
        ),
        sa.ForeignKeyConstraint(["reviewer_id"], ["principals.id"], name=op.f("approvals_reviewer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("approvals_pk")),
    )
    op.create_index("approvals_of_request", "approvals", ["request_id"], unique=False)
    op.create_index("approvals_of_version", "approvals", ["version_id", "at", "id"], unique=False)
    op.add_column("api_keys", sa.Column("principal_id", sa.String(), nullable=True))
    op.add_column("api_keys", sa.Column("may_attest", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("api_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("audit_chains", sa.Column("at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("versions", sa.Column("touched_at", sa.DateTime(timezone=True), nullable=True))
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
    op.alter_column("api_keys", "principal_id", nullable=False)
    op.alter_column("audit_chains", "at", nullable=False)
    op.alter_column("versions", "touched_at", nullable=False, server_default=sa.text("clock_timestamp()"))
    op.create_foreign_key(op.f("api_keys_principal_id"), "api_keys", "principals", ["principal_id"], ["id"])
    op.drop_column("api_keys", "email")
    op.drop_column("api_keys", "kind")
    op.create_index("api_keys_newest", "api_keys", ["created_at", "id"], unique=False)
    op.create_index("api_keys_of_principal", "api_keys", ["principal_id", "created_at", "id"], unique=False)
    op.drop_index(op.f("audit_events_of_project"), table_name="audit_events")
    op.create_index("audit_events_of_project", "audit_events", ["project_id", "at", "id"], unique=False)
    op.drop_index(op.f("audit_events_of_subject"), table_name="audit_events")
    op.create_index("audit_events_of_subject", "audit_events", ["subject_id", "at", "id"], unique=False)
    op.create_index("audit_events_newest", "audit_events", ["at", "id"], unique=False)
    op.create_index("audit_events_of_actor", "audit_events", ["actor", "at", "id"], unique=False)
    op.create_index(
        "versions_in_development",
        "versions",
        ["project_id", "touched_at", "id"],
        unique=False,
        postgresql_where=sa.text("stage = 'DEVELOPMENT'"),
    )
