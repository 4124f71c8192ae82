"""Rights change only with an event that records it, and stored addresses are shown without their credentials"""

from pathlib import Path

from alembic import op

from storage.migrate import run_script

revision = "0011"
down_revision = "0009"


def upgrade() -> None:
    for part in ("addresses", "tied_rights"):
        run_script(op.get_bind(), Path(__file__).with_name(f"0011_{part}.sql").read_text())
