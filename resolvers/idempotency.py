"""Mutations that may be sent again: under an idempotency key a change is made once, and its answer kept beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.errors import Conflict, Forbidden
from resolvers.transaction import Transaction

FIELD = "Idempotency-Key"


@dataclass
class Repeatable:
    """One root field of a request with an Idempotency-Key.

    `extensions` is what the request's answer says beside its data; a repeated answer says what the first one said.
    """

    actor: str
    key: str
    place: int
    body_hash: bytes
    extensions: bytes

    async def recall(self, tx: Transaction) -> bytes | None:
        """The earlier answer, if there is one and the caller may still have it. Waits while the same request is in
        progress. CONFLICT for another request under the same key."""
        values = {"actor": self.actor, "key": self.key, "place": self.place}
        await tx.session.execute(LOCK, {"lock": f"{self.actor}\n{self.key}\n{self.place}"})
        found = (await tx.session.execute(RECALL, values | {"hours": tx.settings.keep_answer_hours})).one_or_none()
        if found is None:
            return None
        if found.body_hash != self.body_hash:
            raise Conflict(
                "The Idempotency-Key was used with another request; use a new key for each change.",
                field=FIELD,
            )
        await _require_rights(tx, found.projects)
        self.extensions = found.extensions
        answer: bytes = found.answer
        return answer

    async def keep(self, session: AsyncSession, answer: bytes, projects: Sequence[str] | None) -> None:
        """Keep an answer and the projects that it was read from; None: from all, by an administrator."""
        values = {"actor": self.actor, "key": self.key, "place": self.place, "hash": self.body_hash}
        kept = {"answer": bytes(answer), "extensions": self.extensions}
        await session.execute(KEEP, values | kept | {"projects": None if projects is None else list(projects)})


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


LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))")
RECALL = text("""
SELECT body_hash, answer, extensions, projects FROM idempotent_answers
WHERE actor = :actor AND key = :key AND place = :place AND at > clock_timestamp() - make_interval(hours => :hours)
""")
KEEP = text("""
INSERT INTO idempotent_answers (actor, key, place, body_hash, answer, extensions, projects, at)
VALUES (:actor, :key, :place, :hash, :answer, :extensions, CAST(:projects AS text[]), clock_timestamp())
ON CONFLICT (actor, key, place) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer,
    extensions = excluded.extensions, projects = excluded.projects, at = excluded.at
""")
# Returns how many.
FORGET = text("""
WITH old AS (
    SELECT actor, key, place FROM idempotent_answers
    WHERE at < clock_timestamp() - make_interval(hours => :hours) ORDER BY at LIMIT :most
), forgotten AS (
    DELETE FROM idempotent_answers i USING old WHERE (i.actor, i.key, i.place) = (old.actor, old.key, old.place)
        AND i.at < clock_timestamp() - make_interval(hours => :hours)
    RETURNING 1
)
SELECT count(*) FROM forgotten
""")
