"""What can be corrected, aliases, ordinals of versions, and where things were before"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from storage.migrate import run_script

revision = "0020"
down_revision = "0015"


def upgrade() -> None:
    now = sa.text("clock_timestamp()")
    op.add_column("models", sa.Column("owner", sa.String(), nullable=True))
    op.add_column("models", sa.Column("properties", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("models", sa.Column("origin", sa.JSON(), nullable=True))
    op.add_column("models", sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("models", sa.Column("updated_at", sa.DateTime(timezone=True), server_default=now, nullable=False))
    op.add_column("versions", sa.Column("ordinal", sa.Integer(), nullable=True))
    op.add_column("versions", sa.Column("origin", sa.JSON(), nullable=True))
    op.add_column("versions", sa.Column("properties", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("versions", sa.Column("artifact_moved_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "project_policies",
        sa.Column(
            "protected_aliases", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False
        ),
    )
    op.create_table(
        "model_aliases",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("model_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version_id", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id"], ["models.project_id", "models.id"], name=op.f("model_aliases_project_id_model_id")
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "model_id", "version_id"],
            ["versions.project_id", "versions.model_id", "versions.id"],
            name=op.f("model_aliases_of_its_own_version"),
        ),
        sa.PrimaryKeyConstraint("model_id", "name", name=op.f("model_aliases_pk")),
    )
    op.create_index("model_aliases_of_version", "model_aliases", ["version_id", "name"])
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
    op.alter_column("versions", "ordinal", nullable=False)
    op.create_unique_constraint(op.f("versions_ordinal"), "versions", ["model_id", "ordinal"])
