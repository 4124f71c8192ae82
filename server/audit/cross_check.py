"""The history of stages and the approvals against the audit log: two records of the same, which must agree."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

import storage
from resolvers.rules.chains import TAMPERED, Finding

DISAGREEMENT = (Path(storage.__file__).parent / "cross_check.sql").read_text()


async def disagreement(connection: AsyncConnection) -> Finding | None:
    """The first step or approval that only one of the two has, or that they tell differently, or version that is not
    where its history ends; entries are sound."""
    row = (await connection.execute(text(DISAGREEMENT))).one_or_none()
    if row is None:
        return None
    where = f" (event {row.seq} of {row.chain})" if row.seq else f" ({row.chain})"
    what = {"apr_": "approval", "ver_": "version"}.get(row.id[:4], "stage transition")
    return Finding(TAMPERED, f"The {what} {row.id}{where} {row.wrong}.", row.chain, row.seq)
