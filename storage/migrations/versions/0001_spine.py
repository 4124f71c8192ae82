"""The spine: projects, models, versions, data sets, experiments, history, audit log, keys"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrate import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit_chains",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("audit_chains_pk")),
    )
    op.create_table(
        "projects",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.CheckConstraint("id ~ '^proj_[A-Za-z0-9._-]{1,100}$'", name=op.f("projects_id_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("projects_pk")),
    )
    op.create_table(
        "api_keys",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("id ~ '^key_[A-Za-z0-9._-]{1,100}$'", name=op.f("api_keys_id_check")),
        sa.CheckConstraint("kind IN ('USER', 'SERVICE')", name=op.f("api_keys_kind_check")),
        sa.CheckConstraint("octet_length(secret_hash) = 32", name=op.f("api_keys_secret_hash_check")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("api_keys_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pk")),
        sa.UniqueConstraint("secret_hash", name=op.f("api_keys_secret_hash")),
    )
    op.create_table(
        "audit_events",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id ~ '^evt_[A-Za-z0-9._-]{1,100}$'", name=op.f("audit_events_id_check")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("audit_events_project_id")),
        sa.PrimaryKeyConstraint("chain", "seq", name=op.f("audit_events_pk")),
        sa.UniqueConstraint("id", name=op.f("audit_events_id")),
    )
    op.create_index("audit_events_of_project", "audit_events", ["project_id", "at"], unique=False)
    op.create_index("audit_events_of_subject", "audit_events", ["subject_id", "at"], unique=False)
    op.create_table(
        "datasets",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.CheckConstraint("id ~ '^ds_[A-Za-z0-9._-]{1,100}$'", name=op.f("datasets_id_check")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("datasets_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("datasets_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("datasets_in_project")),
        sa.UniqueConstraint("project_id", "name", name=op.f("datasets_name")),
    )
    op.create_table(
        "models",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.CheckConstraint("id ~ '^model_[A-Za-z0-9._-]{1,100}$'", name=op.f("models_id_check")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("models_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("models_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("models_in_project")),
        sa.UniqueConstraint("project_id", "name", name=op.f("models_name")),
    )
    op.create_table(
        "dataset_versions",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("dataset_id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("uri", sa.String(), nullable=True),
        sa.Column("digest", sa.String(), nullable=True),
        sa.Column("features", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_reason", sa.String(), nullable=True),
        sa.CheckConstraint("id ~ '^dsv_[A-Za-z0-9._-]{1,100}$'", name=op.f("dataset_versions_id_check")),
        sa.CheckConstraint("status IN ('ACTIVE', 'DEPRECATED', 'INVALID')", name=op.f("dataset_versions_status_check")),
        sa.CheckConstraint("row_count >= 0", name=op.f("dataset_versions_row_count_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_id"],
            ["datasets.project_id", "datasets.id"],
            name=op.f("dataset_versions_project_id_dataset_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dataset_versions_pk")),
        sa.UniqueConstraint("dataset_id", "label", name=op.f("dataset_versions_label")),
        sa.UniqueConstraint("project_id", "id", name=op.f("dataset_versions_in_project")),
    )
    op.create_table(
        "dataset_parents",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("dataset_version_id", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=False),
        sa.CheckConstraint("parent_id <> dataset_version_id", name=op.f("dataset_parents_not_itself_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_version_id"],
            ["dataset_versions.project_id", "dataset_versions.id"],
            name=op.f("dataset_parents_project_id_dataset_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "parent_id"],
            ["dataset_versions.project_id", "dataset_versions.id"],
            name=op.f("dataset_parents_project_id_parent_id"),
        ),
        sa.PrimaryKeyConstraint("dataset_version_id", "parent_id", name=op.f("dataset_parents_pk")),
    )
    op.create_index("dataset_parents_children", "dataset_parents", ["parent_id"], unique=False)
    op.create_table(
        "experiments",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("algorithm", sa.String(), nullable=True),
        sa.Column("training_duration_secs", sa.Float(), nullable=True),
        sa.Column("max_models", sa.Integer(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("dataset_version_id", sa.String(), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'RUNNING') = (completed_at IS NULL)", name=op.f("experiments_completed_at_check")
        ),
        sa.CheckConstraint("id ~ '^exp_[A-Za-z0-9._-]{1,100}$'", name=op.f("experiments_id_check")),
        sa.CheckConstraint("status IN ('RUNNING', 'COMPLETED', 'FAILED')", name=op.f("experiments_status_check")),
        sa.CheckConstraint("max_models >= 0", name=op.f("experiments_max_models_check")),
        sa.CheckConstraint("training_duration_secs >= 0", name=op.f("experiments_training_duration_secs_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_version_id"],
            ["dataset_versions.project_id", "dataset_versions.id"],
            name=op.f("experiments_project_id_dataset_version_id"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("experiments_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("experiments_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("experiments_in_project")),
    )
    op.create_index("experiments_newest", "experiments", ["project_id", "created_at", "id"], unique=False)
    op.create_index("experiments_on_data", "experiments", ["dataset_version_id"], unique=False)
    op.create_table(
        "versions",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("number", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("stage_position", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("algorithm", sa.String(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("features", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("target", sa.String(), nullable=True),
        sa.Column("artifact_uri", sa.String(), nullable=True),
        sa.Column("artifact_digest", sa.String(), nullable=True),
        sa.Column("artifact_size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("artifact_format", sa.String(), nullable=True),
        sa.Column("experiment_id", sa.String(), nullable=True),
        sa.Column("dataset_version_id", sa.String(), nullable=True),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.CheckConstraint("id ~ '^ver_[A-Za-z0-9._-]{1,100}$'", name=op.f("versions_id_check")),
        sa.CheckConstraint(
            "stage IN ('DEVELOPMENT', 'STAGING', 'PRODUCTION', 'ARCHIVED')", name=op.f("versions_stage_check")
        ),
        sa.CheckConstraint(
            "array_ndims(number) = 1 AND cardinality(number) = 3 AND 0 <= ALL (number)",
            name=op.f("versions_number_check"),
        ),
        sa.CheckConstraint("artifact_size_bytes >= 0", name=op.f("versions_artifact_size_bytes_check")),
        sa.CheckConstraint(
            "artifact_uri IS NOT NULL OR coalesce(artifact_digest, artifact_format, artifact_size_bytes::text) IS NULL",
            name=op.f("versions_artifact_check"),
        ),
        sa.ForeignKeyConstraint(
            ["id", "stage_position", "stage"],
            ["stage_transitions.version_id", "stage_transitions.position", "stage_transitions.to_stage"],
            name="versions_stage_is_in_history",
            initially="DEFERRED",
            deferrable=True,
            use_alter=True,
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_version_id"],
            ["dataset_versions.project_id", "dataset_versions.id"],
            name=op.f("versions_project_id_dataset_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "experiment_id"],
            ["experiments.project_id", "experiments.id"],
            name=op.f("versions_project_id_experiment_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id"], ["models.project_id", "models.id"], name=op.f("versions_project_id_model_id")
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "parent_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("versions_project_id_parent_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("versions_pk")),
        sa.UniqueConstraint("model_id", "number", name=op.f("versions_number")),
        sa.UniqueConstraint("project_id", "id", name=op.f("versions_in_project")),
    )
    op.create_index("versions_by_number", "versions", ["number", "id"], unique=False)
    op.create_index("versions_children", "versions", ["parent_id", "created_at", "id"], unique=False)
    op.create_index("versions_newest", "versions", ["created_at", "id"], unique=False)
    op.create_index("versions_newest_in_model", "versions", ["model_id", "created_at", "id"], unique=False)
    op.create_index("versions_newest_in_project", "versions", ["project_id", "created_at", "id"], unique=False)
    op.create_index("versions_newest_in_stage", "versions", ["stage", "created_at", "id"], unique=False)
    op.create_index("versions_newest_of_algorithm", "versions", ["algorithm", "created_at", "id"], unique=False)
    op.create_index("versions_of_experiment", "versions", ["experiment_id", "created_at", "id"], unique=False)
    op.create_index("versions_on_data", "versions", ["dataset_version_id", "created_at", "id"], unique=False)
    op.create_index(
        "versions_one_production",
        "versions",
        ["model_id"],
        unique=True,
        postgresql_where=sa.text("stage = 'PRODUCTION'"),
    )
    op.create_table(
        "dataset_uses",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("dataset_version_id", sa.String(), nullable=False),
        sa.CheckConstraint("role IN ('TRAINING', 'VALIDATION', 'TEST')", name=op.f("dataset_uses_role_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "dataset_version_id"],
            ["dataset_versions.project_id", "dataset_versions.id"],
            name=op.f("dataset_uses_project_id_dataset_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("dataset_uses_project_id_version_id"),
        ),
        sa.PrimaryKeyConstraint("version_id", "role", "dataset_version_id", name=op.f("dataset_uses_pk")),
    )
    op.create_index("dataset_uses_of_data", "dataset_uses", ["dataset_version_id", "role", "version_id"], unique=False)
    op.create_table(
        "metrics",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.CheckConstraint("value - value = 0", name=op.f("metrics_finite_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("metrics_project_id_version_id"),
        ),
        sa.PrimaryKeyConstraint("version_id", "name", name=op.f("metrics_pk")),
    )
    op.create_index("metrics_by_value", "metrics", ["name", "value", "version_id"], unique=False)
    op.create_table(
        "stage_transitions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("previous_position", sa.BigInteger(), nullable=True),
        sa.Column("after_position", sa.BigInteger(), nullable=True),
        sa.Column("from_stage", sa.String(), nullable=True),
        sa.Column("to_stage", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("notes", sa.String(), nullable=True),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "(\n    from_stage IS NULL AND to_stage = 'DEVELOPMENT'\n    OR from_stage = 'DEVELOPMENT' AND to_stage IN ('STAGING', 'ARCHIVED')\n    OR from_stage = 'STAGING' AND to_stage IN ('PRODUCTION', 'DEVELOPMENT', 'ARCHIVED')\n    OR from_stage = 'PRODUCTION' AND to_stage = 'ARCHIVED'\n    OR from_stage = 'ARCHIVED' AND to_stage = 'STAGING'\n) IS TRUE",
            name=op.f("stage_transitions_legal_check"),
        ),
        sa.CheckConstraint("id ~ '^tra_[A-Za-z0-9._-]{1,100}$'", name=op.f("stage_transitions_id_check")),
        sa.CheckConstraint(
            "(from_stage IS NULL) = (after_position IS NULL)", name=op.f("stage_transitions_first_step_check")
        ),
        sa.CheckConstraint(
            "position >= 1 AND after_position < position", name=op.f("stage_transitions_position_check")
        ),
        sa.CheckConstraint(
            "previous_position IS NOT DISTINCT FROM nullif(position - 1, 0)",
            name=op.f("stage_transitions_previous_position_check"),
        ),
        sa.ForeignKeyConstraint(
            ["model_id", "previous_position"],
            ["stage_transitions.model_id", "stage_transitions.position"],
            name="stage_transitions_without_gap",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id"],
            ["models.project_id", "models.id"],
            name=op.f("stage_transitions_project_id_model_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("stage_transitions_project_id_version_id"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id", "after_position", "from_stage"],
            ["stage_transitions.version_id", "stage_transitions.position", "stage_transitions.to_stage"],
            name="stage_transitions_continues",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("stage_transitions_pk")),
        sa.UniqueConstraint("model_id", "position", name=op.f("stage_transitions_position")),
        sa.UniqueConstraint(
            "version_id", "after_position", name=op.f("stage_transitions_no_fork"), postgresql_nulls_not_distinct=True
        ),
        sa.UniqueConstraint("version_id", "position", "to_stage", name=op.f("stage_transitions_step")),
    )
    op.create_index(
        "stage_transitions_production",
        "stage_transitions",
        ["model_id", "at", "position"],
        unique=False,
        postgresql_where=sa.text("to_stage = 'PRODUCTION' OR from_stage = 'PRODUCTION'"),
    )
    op.create_table(
        "tags",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("tags_project_id_version_id"),
        ),
        sa.PrimaryKeyConstraint("version_id", "tag", name=op.f("tags_pk")),
    )
    op.create_index("tags_by_tag", "tags", ["tag", "version_id"], unique=False)
    op.create_foreign_key(
        "versions_stage_is_in_history",
        "versions",
        "stage_transitions",
        ["id", "stage_position", "stage"],
        ["version_id", "position", "to_stage"],
        deferrable=True,
        initially="DEFERRED",
    )
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
