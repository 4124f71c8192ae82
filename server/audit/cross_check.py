"""Compares the history of stages and the approvals with the audit log. They record the same facts and must agree."""

from sqlalchemy.ext.asyncio import AsyncConnection

from resolvers.rules.chains import TAMPERED, Finding
from storage.cross_check import first_disagreement

NOUNS = {"apr_": "approval", "ver_": "version"}


async def disagreement(connection: AsyncConnection) -> Finding | None:
    """The first step or approval that is in only one of the two or differs between them, or the first version whose
    stage is not the end of its history. The audit log's entries must have been verified before."""
    row = await first_disagreement(connection)
    if row is None:
        return None
    where = f" (event {row.seq} of {row.chain})" if row.seq else f" ({row.chain})"
    noun = NOUNS.get(row.id[:4], "stage transition")
    return Finding(TAMPERED, f"The {noun} {row.id}{where} {row.wrong}.", row.chain, row.seq)
