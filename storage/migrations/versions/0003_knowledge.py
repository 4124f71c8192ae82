"""Knowledge: the search words of versions; refusals raised by reads"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrate import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "version_texts",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "version_id"],
            ["versions.project_id", "versions.id"],
            name=op.f("version_texts_project_id_version_id"),
        ),
        sa.PrimaryKeyConstraint("version_id", name=op.f("version_texts_pk")),
    )
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
    op.create_index("version_texts_words", "version_texts", ["words"], unique=False, postgresql_using="gin")
