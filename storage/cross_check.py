"""Compares the history of stages and the approvals with the audit log."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.sql import load_sql


@dataclass(frozen=True)
class Disagreement:
    """`id` is that of a step, an approval or a version, `wrong` the predicate of a sentence about it. `seq` is the
    number of the event that records it, null if there is none."""

    chain: str
    seq: int | None
    id: str
    wrong: str


FIRST_DISAGREEMENT = text(load_sql("cross_check"))


async def first_disagreement(connection: AsyncConnection) -> Disagreement | None:
    row = (await connection.execute(FIRST_DISAGREEMENT)).mappings().one_or_none()
    return None if row is None else Disagreement(**row)
