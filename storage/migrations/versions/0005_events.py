"""Events: each project's feed of its audit log, in an order that does not change once read"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from storage.migrate import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    event = ["audit_events.chain", "audit_events.seq"]
    op.create_table(
        "audit_unfed",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["chain", "seq"], event, name=op.f("audit_unfed_chain_seq")),
        sa.PrimaryKeyConstraint("chain", "seq", name=op.f("audit_unfed_pk")),
    )
    op.create_table(
        "audit_feed",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("audit_feed_project_id")),
        sa.ForeignKeyConstraint(["chain", "seq"], event, name=op.f("audit_feed_chain_seq")),
        sa.PrimaryKeyConstraint("project_id", "position", name=op.f("audit_feed_pk")),
        sa.UniqueConstraint("chain", "seq", name=op.f("audit_feed_event")),
    )
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
