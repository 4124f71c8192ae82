"""The visibility of an object whose id is in use."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from storage.visibility import Viewer, role_in


async def is_seen(session: AsyncSession, table: type[SQLModel], id_: str, viewer: Viewer) -> bool | None:
    """Whether the caller sees the row with this id. None if there is no such row."""
    name = str(table.__tablename__)
    role = role_in(name, "id" if name == "projects" else "project_id")
    seen: bool | None = await session.scalar(
        text(f"SELECT {role} IS NOT NULL FROM {name} WHERE id = :id"), {"id": id_, **viewer.parameters}
    )
    return seen
