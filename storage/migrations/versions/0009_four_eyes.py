"""Policies that loosen only after a confirmation or a wait, and approvals that are bound to everything a review
shows"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from storage.migrate import run_script

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "policy_changes",
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("from_value", sa.JSON(), nullable=True),
        sa.Column("to_value", sa.JSON(), nullable=True),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("confirmed_by", sa.String(), nullable=True),
        sa.Column("alone", sa.Boolean(), nullable=False),
        sa.CheckConstraint("id ~ '^pch_[A-Za-z0-9._-]{1,100}$'", name=op.f("policy_changes_id_check")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'APPLIED', 'REPLACED', 'WITHDRAWN')", name=op.f("policy_changes_status_check")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("policy_changes_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("policy_changes_pk")),
    )
    pending = sa.text("status = 'PENDING'")
    op.create_index(
        "policy_changes_pending", "policy_changes", ["project_id", "field"], unique=True, postgresql_where=pending
    )
    op.create_index("policy_changes_due", "policy_changes", ["effective_at"], postgresql_where=pending)
    op.create_index("policy_changes_of_project", "policy_changes", ["project_id", "created_at", "id"])
    op.add_column(
        "project_policies",
        # As before: the person who requested a transition could approve it.
        sa.Column("allow_requester_approval", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.alter_column("project_policies", "allow_requester_approval", server_default=sa.text("false"))
    op.add_column(
        "project_policies", sa.Column("loosening_hours", sa.Float(), server_default=sa.text("24"), nullable=False)
    )
    op.create_check_constraint(
        op.f("project_policies_loosening_hours_check"), "project_policies", "loosening_hours BETWEEN 0 AND 8760"
    )
    op.add_column("project_policies", sa.Column("reviewer_left_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("members", sa.Column("reviewer_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("dataset_versions", sa.Column("status_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("approvals", sa.Column("alone", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
