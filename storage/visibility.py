"""The rows that a caller may see. Other rows are not found, and a visible row comes with the caller's role.

The role is read from the database each time, because a server process may not know yet that a right was revoked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.rows import at_most_one
from storage.sql import fill_sql


class Viewer(NamedTuple):
    """The reader of rows: a principal, with the project that its key is bound to (None: all), or a job or command
    without a principal, which sees everything."""

    principal_id: str | None
    only: str | None
    everything: bool

    @property
    def parameters(self) -> dict[str, Any]:
        """The bind parameters of `role_in` and ADMINISTERS."""
        return {"me": self.principal_id, "only": self.only, "everything": self.everything}


@dataclass(frozen=True, kw_only=True)
class VisibleRow:
    """A row of a project, with the caller's role in that project."""

    project_id: str
    role: str


V = TypeVar("V", bound=VisibleRow)

ROLE = """(CASE WHEN CAST(:only AS text) <> {project} THEN NULL WHEN CAST(:everything AS boolean) THEN 'ADMIN' ELSE (
    SELECT CASE WHEN p.administers THEN 'ADMIN' ELSE m.role END FROM principals p
    LEFT JOIN members m ON m.principal_id = p.id AND m.project_id = {project} WHERE p.id = CAST(:me AS text)) END)"""
ADMINISTERS = """(CAST(:everything AS boolean) OR CAST(:only AS text) IS NULL
    AND EXISTS (SELECT FROM principals me WHERE me.id = CAST(:me AS text) AND me.administers))"""


def role_in(table: str, column: str = "project_id") -> str:
    """The caller's role in the project of a row. Qualified: an inner table has columns of these names too."""
    return fill_sql(ROLE, project=f"{table}.{column}")


async def visible(
    session: AsyncSession,
    row: type[V],
    table: str,
    id_: str,
    viewer: Viewer,
    *,
    lock: bool = False,
    computed: Mapping[str, str] | None = None,
) -> V | None:
    """The row of a table with this id, if the caller sees it. `computed` holds expressions for fields that are not
    columns of the table."""
    role = role_in(table)
    computed = computed or {}
    names = [each.name for each in fields(row) if each.name != "role" and each.name not in computed]
    selected = [*names, *(f"{expression} AS {name}" for name, expression in computed.items()), f"{role} AS role"]
    statement = f"SELECT {', '.join(selected)} FROM {table} WHERE id = :id AND {role} IS NOT NULL"
    lock_clause = " FOR NO KEY UPDATE" if lock else ""
    return await at_most_one(session, row, statement + lock_clause, id=id_, **viewer.parameters)


async def roles(session: AsyncSession, project_ids: Sequence[str], viewer: Viewer) -> dict[str, str]:
    """The caller's role in each of these projects that it sees."""
    role = role_in("projects", "id")
    statement = f"SELECT id, {role} AS role FROM projects WHERE id = ANY (CAST(:ids AS text[])) AND {role} IS NOT NULL"
    rows = await session.execute(text(statement), {"ids": list(project_ids), **viewer.parameters})
    return {row.id: row.role for row in rows}


async def administers(session: AsyncSession, viewer: Viewer) -> bool:
    """Whether the caller administers the instance, with a key that is not bound to a project."""
    return bool(await session.scalar(text(f"SELECT {ADMINISTERS}"), viewer.parameters))
