"""Webhooks: the receivers of a project's events, and the status of each delivery"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    now = sa.text("clock_timestamp()")
    op.create_table(
        "webhooks",
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("actions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id ~ '^whk_[A-Za-z0-9._-]{1,100}$'", name=op.f("webhooks_id_check")),
        sa.CheckConstraint("position >= 0", name=op.f("webhooks_position_check")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("webhooks_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("webhooks_pk")),
        sa.UniqueConstraint("project_id", "id", name=op.f("webhooks_in_project")),
    )
    op.create_index("webhooks_of_project", "webhooks", ["project_id", "created_at", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("response_status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.CheckConstraint(
            "(next_at IS NOT NULL) = (status = 'PENDING')", name=op.f("webhook_deliveries_next_at_check")
        ),
        sa.CheckConstraint("id ~ '^dlv_[A-Za-z0-9._-]{1,100}$'", name=op.f("webhook_deliveries_id_check")),
        sa.CheckConstraint(
            "status IN ('PENDING', 'DELIVERED', 'FAILED')", name=op.f("webhook_deliveries_status_check")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["audit_events.id"], name=op.f("webhook_deliveries_event_id")),
        sa.ForeignKeyConstraint(
            ["project_id", "webhook_id"],
            ["webhooks.project_id", "webhooks.id"],
            name=op.f("webhook_deliveries_project_id_webhook_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_deliveries_pk")),
        sa.UniqueConstraint("webhook_id", "event_id", name=op.f("webhook_deliveries_once")),
    )
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["next_at"],
        postgresql_where=sa.text("next_at IS NOT NULL"),
    )
    op.create_index("webhook_deliveries_newest", "webhook_deliveries", ["webhook_id", "created_at", "id"])
