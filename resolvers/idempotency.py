"""Mutations that can be repeated safely: with an idempotency key, a change is made once and its response stored with
it."""

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

    `extensions` are the extensions of the request's response. A repeated response has those of the first one.
    """

    named: AnswerKey
    body_hash: bytes
    extensions: bytes

    async def recall(self, tx: Transaction) -> bytes | None:
        """The earlier response, if there is one and the caller still has the rights to see it. Waits while the same
        request is in progress. Refuses another request with the same key with CONFLICT."""
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
        """Store a response and the projects that it was read from. None: all projects, by an administrator."""
        stored = StoredAnswer(self.body_hash, bytes(answer), self.extensions, projects)
        await idempotency.keep(session, self.named, stored)


async def _require_rights(tx: Transaction, projects: Sequence[str] | None) -> None:
    """Refuse unless the caller still has the mutation's role in all projects that its response was read from."""
    if projects is not None:
        await tx.require_projects(projects, FIELD)
    # The projects are also None in rows from before this column existed. The rights that those responses need are not
    # known, and repeating the change would break the guarantee, so only administrators get them.
    elif not await tx.still_administers():
        raise Forbidden(
            "This change was made, but its answer is returned to administrators of the instance only. It was made by"
            " one, or by an earlier version of Lineal; it is not made again.",
            field=FIELD,
        )
