"""The history of stages against the audit log: two records of the same steps, which must agree."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import storage
from resolvers.rules.chains import TAMPERED, Finding

DISAGREEMENT = (Path(storage.__file__).parent / "steps.sql").read_text()


async def disagreement(connection: AsyncConnection) -> Finding | None:
    """The first step that only one of the two has, or that they tell differently. The entries must be sound JSON."""
    row = (await connection.execute(text(DISAGREEMENT))).one_or_none()
    if row is None:
        return None
    where = f" (event {row.seq} of {row.chain})" if row.seq else f" ({row.chain})"
    return Finding(TAMPERED, f"The stage transition {row.id}{where} {row.wrong}.", row.chain, row.seq)
