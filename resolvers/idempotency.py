"""Mutations that may be sent again: under an idempotency key a change is made once, and its answer kept next to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.errors import Conflict, Forbidden
from resolvers.transaction import Transaction
from storage import idempotency
from storage.idempotency import AnswerKey, StoredAnswer

FIELD = "Idempotency-Key"


@dataclass
class Repeatable:
    """One root field of a request with an Idempotency-Key.

    `extensions` is what the request's answer has in addition to its data; a repeated answer has that of the first.
    """

    named: AnswerKey
    body_hash: bytes
    extensions: bytes

    async def recall(self, tx: Transaction) -> bytes | None:
        """The earlier answer, if there is one and the caller may still have it. Waits while the same request is in
        progress. CONFLICT for another request under the same key."""
        stored = await idempotency.recall(tx.session, self.named, tx.settings.keep_answer_hours)
        if stored is None:
            return None
        if stored.body_hash != self.body_hash:
            raise Conflict(
                "The Idempotency-Key was used with another request; use a new key for each change.",
                field=FIELD,
            )
        await _require_rights(tx, stored.projects)
        self.extensions = stored.extensions
        return stored.answer

    async def keep(self, session: AsyncSession, answer: bytes, projects: Sequence[str] | None) -> None:
        """Keep an answer and the projects that it was read from; None: from all, by an administrator."""
        stored = StoredAnswer(self.body_hash, bytes(answer), self.extensions, projects)
        await idempotency.keep(session, self.named, stored)


async def _require_rights(tx: Transaction, projects: Sequence[str] | None) -> None:
    """Refuse unless the caller still has the mutation's role in all projects that its answer was read from."""
    if projects is not None:
        await tx.require_projects(projects, FIELD)
    # None also stands in the rows from before this column existed. Nobody knows whose rights those answers need, and
    # making such a change again would break the promise: so they are for administrators alone.
    elif not await tx.still_administers():
        raise Forbidden(
            "This change was made, but its answer is returned to administrators of the instance only. It was made by"
            " one, or by an earlier version of Lineal; it is not made again.",
            field=FIELD,
        )
