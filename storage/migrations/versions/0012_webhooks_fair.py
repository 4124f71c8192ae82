"""Webhooks: leases that never repeat, disabled receivers, rotated secrets; deletion by age"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from storage.migrate import run_script

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("previous_secret", sa.String(), nullable=True))
    op.add_column("webhooks", sa.Column("previous_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhooks", sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhooks", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhooks", sa.Column("disabled_reason", sa.String(), nullable=True))
    op.add_column("webhook_deliveries", sa.Column("lease", sa.Uuid(), nullable=True))
    for name, both in (("previous_until", "previous_secret"), ("disabled_at", "disabled_reason")):
        check = f"({name} IS NULL) = ({both} IS NULL)"
        op.create_check_constraint(op.f(f"webhooks_{name}_check"), "webhooks", check)
    leased = sa.text("lease IS NOT NULL")
    op.create_index("webhook_deliveries_leased", "webhook_deliveries", ["webhook_id"], postgresql_where=leased)
    # The due deliveries of each webhook, in their order, instead of one order for all webhooks.
    due = sa.text("next_at IS NOT NULL")
    op.create_index(
        "webhook_deliveries_of_webhook_due", "webhook_deliveries", ["webhook_id", "next_at"], postgresql_where=due
    )
    op.drop_index("webhook_deliveries_due", "webhook_deliveries")
    ended = sa.text("next_at IS NULL")
    op.create_index("webhook_deliveries_ended", "webhook_deliveries", ["attempted_at"], postgresql_where=ended)
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
