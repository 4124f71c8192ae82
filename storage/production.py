"""The versions that were in production, from which a rollback chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from storage.rows import every, one


@dataclass(frozen=True)
class FormerProduction:
    """A version that is or was in production. `came_from` is the stage before its current one."""

    id: str
    number: list[int]
    stage: str
    came_from: str


FORMER = """
SELECT v.id, v.number, v.stage, coalesce(t.from_stage, v.stage) AS came_from
FROM versions v JOIN stage_transitions t ON t.version_id = v.id AND t.position = v.stage_position
"""


async def former_production(session: AsyncSession, model_id: str) -> list[FormerProduction]:
    """The versions of a model that have been in production, each once."""
    condition = "WHERE v.id IN (SELECT s.version_id FROM stage_transitions s WHERE s.model_id = :model_id"
    statement = f"{FORMER} {condition} AND s.to_stage = 'PRODUCTION')"
    return await every(session, FormerProduction, statement, model_id=model_id)


async def how_it_stands(session: AsyncSession, version_id: str) -> FormerProduction:
    """A version, whether or not it was in production."""
    return await one(session, FormerProduction, f"{FORMER} WHERE v.id = :version_id", version_id=version_id)


@dataclass(frozen=True)
class ProductionStepRow:
    """A version that entered production, or left it. Steps of one transaction have the same time."""

    version_id: str
    enters: bool
    at: datetime


async def production_history(session: AsyncSession, model_id: str) -> Sequence[ProductionStepRow]:
    """A model's steps into and out of production, in their order."""
    return await every(session, ProductionStepRow, PRODUCTION_HISTORY, model_id=model_id)


PRODUCTION_HISTORY = """
SELECT version_id, to_stage = 'PRODUCTION' AS enters, at FROM stage_transitions
WHERE model_id = :model_id AND (to_stage = 'PRODUCTION' OR from_stage = 'PRODUCTION') ORDER BY position
"""
