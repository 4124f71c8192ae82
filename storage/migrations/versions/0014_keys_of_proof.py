"""The problems that prevent servers from writing checkpoints of the audit log, for administrators"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "checkpoint_reports",
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("checkpoint_reports_pk")),
    )
