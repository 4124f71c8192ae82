"""Events name changed fields in camelCase, and the trigger that ties policies to their events reads these names"""

from pathlib import Path

from alembic import op

from storage.migrate import run_script

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_script(op.get_bind(), Path(__file__).with_suffix(".sql").read_text())
