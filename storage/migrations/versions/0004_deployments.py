"""Deployments: which version serves which share of an environment's traffic"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from storage.migrate import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_unique_constraint(op.f("versions_of_model"), "versions", ["project_id", "model_id", "id"])
    _deployments()
    _health_reports()
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("created_by", "id", "project_id", "model_id", "version_id", "name", "environment", "strategy")
        ),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("traffic_percentage", sa.Integer(), nullable=False),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("auto_advance", sa.Boolean(), nullable=False),
        sa.Column("auto_rollback", sa.Boolean(), nullable=False),
        sa.Column("failure_threshold", sa.Integer(), nullable=False),
        sa.Column("health_required", sa.Boolean(), nullable=False),
        sa.Column("max_health_age_minutes", sa.Float(), nullable=True),
        sa.Column("stage_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_id", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint("(due_at IS NOT NULL) <= (status = 'IN_PROGRESS')", name=op.f("deployments_due_at_check")),
        sa.CheckConstraint(
            "(status IN ('ROLLED_BACK', 'RETIRED')) <= (traffic_percentage = 0)", name=op.f("deployments_ended_check")
        ),
        sa.CheckConstraint("(strategy = 'SHADOW') <= (traffic_percentage = 0)", name=op.f("deployments_shadow_check")),
        sa.CheckConstraint("id ~ '^dep_[A-Za-z0-9._-]{1,100}$'", name=op.f("deployments_id_check")),
        sa.CheckConstraint(
            "status IN ('IN_PROGRESS', 'PAUSED', 'ACTIVE', 'ROLLED_BACK', 'RETIRED')",
            name=op.f("deployments_status_check"),
        ),
        sa.CheckConstraint(
            "strategy IN ('DIRECT', 'CANARY', 'SHADOW', 'BLUE_GREEN')", name=op.f("deployments_strategy_check")
        ),
        sa.CheckConstraint(
            "traffic_percentage BETWEEN 0 AND 100", name=op.f("deployments_traffic_percentage_check")
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id", "version_id"],
            ["versions.project_id", "versions.model_id", "versions.id"],
            name="deployments_version",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id"],
            ["models.project_id", "models.id"],
            name=op.f("deployments_project_id_model_id"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "previous_id"],
            ["deployments.project_id", "deployments.id"],
            name=op.f("deployments_project_id_previous_id"),
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("deployments_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("deployments_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("deployments_in_project")),
    )
    op.create_index("deployments_due", "deployments", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL"))
    op.create_index(
        "deployments_in_environment",
        "deployments",
        ["environment"],
        postgresql_where=sa.text("traffic_percentage > 0"),
    )
    op.create_index("deployments_newest", "deployments", ["created_at", "id"])
    op.create_index("deployments_newest_in_project", "deployments", ["project_id", "created_at", "id"])
    op.create_index("deployments_of_model", "deployments", ["model_id", "created_at", "id"])
    op.create_index("deployments_of_version", "deployments", ["version_id", "created_at", "id"])
    for name, statuses in (
        ("deployments_one_active", "status = 'ACTIVE'"),
        ("deployments_one_rollout", "status IN ('IN_PROGRESS', 'PAUSED')"),
    ):
        op.create_index(
            name,
            "deployments",
            ["model_id", "environment"],
            unique=True,
            postgresql_where=sa.text(f"{statuses} AND strategy <> 'SHADOW'"),
        )


def _health_reports() -> None:
    op.create_table(
        "health_reports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("deployment_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("healthy", sa.Boolean(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("reported_by", sa.String(), nullable=False),
        sa.CheckConstraint("id ~ '^hlt_[A-Za-z0-9._-]{1,100}$'", name=op.f("health_reports_id_check")),
        sa.ForeignKeyConstraint(
            ["project_id", "deployment_id"],
            ["deployments.project_id", "deployments.id"],
            name=op.f("health_reports_project_id_deployment_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("health_reports_pk")),
    )
    op.create_index("health_reports_newest", "health_reports", ["deployment_id", "at", "id"])
