"""The history of stages and the approvals against the audit log: two records of the same, which must agree."""

from sqlalchemy.ext.asyncio import AsyncConnection

from resolvers.rules.chains import TAMPERED, Finding
from storage.cross_check import first_disagreement

NOUNS = {"apr_": "approval", "ver_": "version"}


async def disagreement(connection: AsyncConnection) -> Finding | None:
    """The first step or approval that only one of the two has, or that they tell differently, or version that is not
    where its history ends; entries are sound."""
    row = await first_disagreement(connection)
    if row is None:
        return None
    where = f" (event {row.seq} of {row.chain})" if row.seq else f" ({row.chain})"
    noun = NOUNS.get(row.id[:4], "stage transition")
    return Finding(TAMPERED, f"The {noun} {row.id}{where} {row.wrong}.", row.chain, row.seq)
