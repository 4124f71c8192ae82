"""One mutation's transaction: who acts, what they may see, and how a change is recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import SQLModel

from resolvers.errors import NotFound
from storage import audit, load
from storage.ids import new_id


@dataclass(frozen=True)
class Caller:
    """Who asks: the owner of the key, the projects that the key reaches (None: all), and this request's id."""

    actor: str
    visible: Sequence[str] | None
    request_id: str


@dataclass(frozen=True)
class Transaction:
    session: AsyncSession
    caller: Caller

    async def project(self, id_: str, field: str = "input.projectId") -> str:
        if await load.project(self.session, id_, self.caller.visible) is None:
            raise NotFound("project", id_, field)
        return id_

    async def lock_model(self, id_: str, field: str = "input.modelId") -> Mapping[str, Any]:
        """The model, whose versions and stages nobody else changes until this transaction ends."""
        models = await load.lock_models(self.session, [id_], self.caller.visible)
        if id_ not in models:
            raise NotFound("model", id_, field)
        return models[id_]

    async def keep(self, table: type[SQLModel], *rows: Mapping[str, Any]) -> None:
        """Add rows."""
        if rows:
            await self.session.execute(insert(table.__table__), list(rows))  # type: ignore[attr-defined]

    async def keep_unless_there(self, table: type[SQLModel], row: Mapping[str, Any]) -> bool:
        """Add a row unless its key is taken, waiting for whoever is adding it now; whether it was added."""
        made = await self.session.execute(upsert(table.__table__).values(row).on_conflict_do_nothing())  # type: ignore[attr-defined]
        return bool(made.rowcount)  # type: ignore[attr-defined]

    async def record(
        self,
        action: str,
        subject_id: str,
        project_id: str,
        *,
        chain: str,
        details: Any = None,
        notes: str | None = None,
    ) -> None:
        """Append the change to the audit log: the last step of every mutation."""
        entry = {
            "id": new_id("evt"),
            "action": action,
            "actor": self.caller.actor,
            "projectId": project_id,
            "subjectId": subject_id,
            "notes": notes,
            "details": details or {},
            "requestId": self.caller.request_id,
        }
        await audit.append(self.session, chain, entry)
