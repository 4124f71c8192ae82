"""Where the history of stages or the approvals disagree with the audit log."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.sql import load_sql


@dataclass(frozen=True)
class Disagreement:
    """`id` is a step's, an approval's or a version's, `wrong` the predicate of a sentence about it. `seq` is the event
    that records it; null where none does."""

    chain: str
    seq: int | None
    id: str
    wrong: str


FIRST_DISAGREEMENT = text(load_sql("cross_check"))


async def first_disagreement(connection: AsyncConnection) -> Disagreement | None:
    row = (await connection.execute(FIRST_DISAGREEMENT)).mappings().one_or_none()
    return None if row is None else Disagreement(**row)
