"""Mutations that may be sent again: under an idempotency key a change is made once, and its answer kept beside it."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.errors import Conflict

KEPT_HOURS = 24


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

    async def recall(self, session: AsyncSession) -> bytes | None:
        """What was answered before, if anything was; waits for who is sending the same now. CONFLICT for another
        request under the same key."""
        values = {"actor": self.actor, "key": self.key, "place": self.place}
        await session.execute(LOCK, {"lock": f"{self.actor}\n{self.key}\n{self.place}"})
        found = (await session.execute(RECALL, values | {"hours": KEPT_HOURS})).one_or_none()
        if found is None:
            return None
        if found.body_hash != self.body_hash:
            raise Conflict(
                "The Idempotency-Key was used with another request; give each change a key of its own.",
                field="Idempotency-Key",
            )
        self.extensions = found.extensions
        answer: bytes = found.answer
        return answer

    async def keep(self, session: AsyncSession, answer: bytes) -> None:
        values = {"actor": self.actor, "key": self.key, "place": self.place}
        await session.execute(
            KEEP, values | {"hash": self.body_hash, "answer": bytes(answer), "extensions": self.extensions}
        )


LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:lock, 0))")
RECALL = text("""
SELECT body_hash, answer, extensions FROM idempotent_answers
WHERE actor = :actor AND key = :key AND place = :place AND at > clock_timestamp() - make_interval(hours => :hours)
""")
KEEP = text("""
INSERT INTO idempotent_answers (actor, key, place, body_hash, answer, extensions, at)
VALUES (:actor, :key, :place, :hash, :answer, :extensions, clock_timestamp())
ON CONFLICT (actor, key, place) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer,
    extensions = excluded.extensions, at = excluded.at
""")
FORGET = text("DELETE FROM idempotent_answers WHERE at < clock_timestamp() - make_interval(hours => :hours)")
