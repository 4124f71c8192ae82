from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, LargeBinary, UniqueConstraint
from sqlmodel import Field

from storage.base import Recorded, readable_id, words
from storage.vocabulary import PrincipalKind


class ApiKey(Recorded, table=True):
    """A caller's key. Only the SHA-256 of its secret is kept. Without a project it reaches the whole registry."""

    __tablename__ = "api_keys"
    __table_args__ = (
        readable_id("key"),
        UniqueConstraint("secret_hash", name="secret_hash"),
        CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        words("kind", PrincipalKind),
    )

    id: str = Field(primary_key=True)
    name: str
    email: str
    kind: str = PrincipalKind.SERVICE
    project_id: str | None = Field(default=None, foreign_key="projects.id")
    secret_hash: bytes = Field(sa_type=LargeBinary)
    expires_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    revoked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
