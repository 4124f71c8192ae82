"""The projects that a stored response was read from, so that it is returned only to callers who still have rights
there"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("idempotent_answers", sa.Column("projects", postgresql.ARRAY(sa.Text()), nullable=True))
