"""What mutations load before they decide. Every look-up takes the caller's visible projects; None means all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Visible = Sequence[str] | None
Row = Mapping[str, Any]

VISIBLE = "(CAST(:visible AS text[]) IS NULL OR {column} = ANY (CAST(:visible AS text[])))"
FACTS = (Path(__file__).parent / "facts.sql").read_text()


async def one(session: AsyncSession, statement: str, **values: Any) -> Row | None:
    row = (await session.execute(text(statement), values)).mappings().one_or_none()
    return None if row is None else dict(row)


async def project(session: AsyncSession, id_: str, visible: Visible) -> Row | None:
    statement = f"SELECT id FROM projects WHERE id = :id AND {VISIBLE.format(column='id')}"
    return await one(session, statement, id=id_, visible=visible)


async def lock_models(session: AsyncSession, ids: Sequence[str], visible: Visible) -> dict[str, Row]:
    """Models by id, locked in id order until the transaction ends; without those that there are not."""
    statement = (
        "SELECT id, project_id FROM models WHERE id = ANY (CAST(:ids AS text[]))"
        f" AND {VISIBLE.format(column='project_id')} ORDER BY id FOR NO KEY UPDATE"
    )
    rows = (await session.execute(text(statement), {"ids": list(ids), "visible": visible})).mappings()
    return {row["id"]: dict(row) for row in rows}


async def version_in_model(session: AsyncSession, model_id: str, number: Sequence[int]) -> Row | None:
    """A version of a locked model, and where its model's history stands."""
    return await one(session, VERSION_IN_MODEL, model_id=model_id, number=list(number))


VERSION_IN_MODEL = """
SELECT v.id, v.stage, v.stage_position, p.id AS production_id, p.stage_position AS production_position,
    last.position, greatest(clock_timestamp(), last.at) AS now,
    (SELECT coalesce(array_agg(g.tag), '{}') FROM tags g WHERE g.version_id = v.id) AS tags, v.description
FROM versions v
LEFT JOIN versions p ON p.model_id = v.model_id AND p.stage = 'PRODUCTION'
CROSS JOIN LATERAL (
    SELECT position, at FROM stage_transitions WHERE model_id = v.model_id ORDER BY position DESC LIMIT 1
) last
WHERE v.model_id = :model_id AND v.number = CAST(:number AS int[])
"""


async def history_end(session: AsyncSession, model_id: str) -> Row:
    """The last position in a locked model's history, 0 before the first, and a time that is not before it."""
    row = await one(session, HISTORY_END, model_id=model_id)
    assert row is not None
    return row


HISTORY_END = """
SELECT coalesce(max(position), 0) AS position, greatest(clock_timestamp(), max(at)) AS now
FROM (SELECT position, at FROM stage_transitions WHERE model_id = :model_id ORDER BY position DESC LIMIT 1) last
"""


async def parent_by_number(session: AsyncSession, model_id: str, number: Sequence[int]) -> Row | None:
    return await one(session, _parent("v.number = CAST(:number AS int[])"), model_id=model_id, number=list(number))


async def highest_below(session: AsyncSession, model_id: str, number: Sequence[int] | None) -> Row | None:
    """The highest version of a model, below a number if one is given, with its facts."""
    below = "(CAST(:number AS int[]) IS NULL OR v.number < CAST(:number AS int[])) ORDER BY v.number DESC LIMIT 1"
    return await one(session, _parent(below), model_id=model_id, number=list(number) if number else None)


async def parent_by_id(session: AsyncSession, project_id: str, id_: str) -> Row | None:
    statement = f"SELECT v.id, v.model_id, v.number, {FACTS.format(v='v')} AS facts FROM versions v"
    return await one(
        session, f"{statement} WHERE v.project_id = :project_id AND v.id = :id", project_id=project_id, id=id_
    )


def _parent(condition: str) -> str:
    facts = f"v.id, v.model_id, v.number, {FACTS.format(v='v')} AS facts"
    return f"SELECT {facts} FROM versions v WHERE v.model_id = :model_id AND {condition}"


async def highest_between(
    session: AsyncSession, model_id: str, low: Sequence[int], high: Sequence[int]
) -> Sequence[int] | None:
    """The highest number of a model that is at least `low` and below `high`."""
    statement = (
        "SELECT number FROM versions WHERE model_id = :model_id"
        " AND number >= CAST(:low AS int[]) AND number < CAST(:high AS int[]) ORDER BY number DESC LIMIT 1"
    )
    row = await one(session, statement, model_id=model_id, low=list(low), high=list(high))
    return row["number"] if row else None


async def experiment(session: AsyncSession, id_: str, visible: Visible, lock: bool = False) -> Row | None:
    statement = (
        "SELECT id, project_id, status, algorithm, dataset_version_id FROM experiments"
        f" WHERE id = :id AND {VISIBLE.format(column='project_id')}{' FOR NO KEY UPDATE' if lock else ''}"
    )
    return await one(session, statement, id=id_, visible=visible)


async def dataset(session: AsyncSession, id_: str, visible: Visible) -> Row | None:
    statement = f"SELECT id, project_id FROM datasets WHERE id = :id AND {VISIBLE.format(column='project_id')}"
    return await one(session, statement, id=id_, visible=visible)


async def dataset_versions(session: AsyncSession, project_id: str, ids: Sequence[str]) -> dict[str, str]:
    """The data set of each of these data set versions that is in the project."""
    statement = text(
        "SELECT id, dataset_id FROM dataset_versions WHERE project_id = :project_id AND id = ANY (CAST(:ids AS text[]))"
    )
    rows = (await session.execute(statement, {"project_id": project_id, "ids": list(ids)})).mappings()
    return {row["id"]: row["dataset_id"] for row in rows}
